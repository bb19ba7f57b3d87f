import type { ReactElement } from "react";
import type { Look } from "../look.ts";
import { dim, plain, spansWidth } from "../spans.ts";
import type { Spans } from "../spans.ts";
import { shortId } from "../text.ts";
import type { UiState } from "../ui-state.ts";
import { Line } from "./line.tsx";

export interface FooterProps {
  readonly ui: UiState;
  readonly width: number;
  readonly look: Look;
  /** False where the UI only watches. */
  readonly controls: boolean;
}

/** The last row: what is being typed or asked, a notice, or the keys. */
export function Footer({ ui, width, look, controls }: FooterProps): ReactElement {
  return <Line spans={footerSpans(ui, width, look, controls)} width={width} look={look} />;
}

function footerSpans(ui: UiState, width: number, look: Look, controls: boolean): Spans {
  switch (ui.dialog.kind) {
    case "filter":
      return [
        { text: " filter: ", bold: true },
        plain(ui.filter),
        { text: " ", inverse: true },
        dim("   enter keeps it, escape takes it back"),
      ];
    case "cancel":
      return [
        { text: " cancel ", bold: true, color: "red" },
        plain(shortId(ui.dialog.step, width - 40, look.glyphs.ellipsis)),
        { text: " ? ", bold: true },
        plain("y/n"),
        dim("  what depends on it is skipped"),
      ];
    case "none":
      break;
  }
  if (ui.notice !== undefined) return [{ text: ` ${ui.notice}`, color: "yellow" }];
  const filtered: Spans =
    ui.filter === "" ? [] : [{ text: ` /${ui.filter} `, inverse: true }, dim(" esc shows all ")];
  const room = width - spansWidth(filtered);
  return [...filtered, ...keys(ui.screen === "log" ? logKeys : mainKeys(controls), room)];
}

interface KeyHelp {
  readonly key: string;
  readonly meaning: string;
  /** What goes first where there is no room: the highest. */
  readonly rank: number;
}

const logKeys: readonly KeyHelp[] = [
  { key: "j/k", meaning: "scroll", rank: 1 },
  { key: "space/b", meaning: "page", rank: 2 },
  { key: "g/G", meaning: "top/end", rank: 3 },
  { key: "q", meaning: "back", rank: 0 },
];

function mainKeys(controls: boolean): readonly KeyHelp[] {
  const all: readonly KeyHelp[] = [
    { key: "hjkl", meaning: "move", rank: 2 },
    { key: "tab", meaning: "pane", rank: 7 },
    { key: "enter", meaning: "log", rank: 3 },
    { key: "/", meaning: "filter", rank: 4 },
    { key: "r", meaning: "retry", rank: 6 },
    { key: "x", meaning: "cancel", rank: 5 },
    { key: "?", meaning: "help", rank: 1 },
    { key: "q", meaning: "leave", rank: 0 },
  ];
  return controls ? all : all.filter(({ key }) => key !== "r" && key !== "x");
}

function keys(help: readonly KeyHelp[], width: number): Spans {
  const spans = help.flatMap(({ key, meaning }) => [{ text: ` ${key}`, bold: true }, dim(` ${meaning} `)]);
  if (help.length <= 1 || spansWidth(spans) <= width) return spans;
  const last = Math.max(...help.map(({ rank }) => rank));
  return keys(
    help.filter(({ rank }) => rank !== last),
    width,
  );
}
