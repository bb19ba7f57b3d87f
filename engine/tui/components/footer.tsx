import type { ReactElement } from "react";
import type { Look } from "../look.ts";
import { dim, plain } from "../spans.ts";
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
  return [...filtered, ...keys(ui.screen === "log" ? logKeys : mainKeys(controls, width))];
}

type KeyHelp = readonly (readonly [key: string, meaning: string])[];

const logKeys: KeyHelp = [
  ["j/k", "scroll"],
  ["space/b", "page"],
  ["g/G", "top/end"],
  ["q", "back"],
];

function mainKeys(controls: boolean, width: number): KeyHelp {
  const acting: KeyHelp = controls
    ? [
        ["r", "retry"],
        ["x", "cancel"],
      ]
    : [];
  return [
    ["hjkl", "move"],
    ...(width >= 70 ? ([["tab", "pane"]] as const) : []),
    ["enter", "log"],
    ["/", "filter"],
    ...acting,
    ["?", "help"],
    ["q", "leave"],
  ];
}

function keys(help: KeyHelp): Spans {
  return help.flatMap(([key, meaning]) => [{ text: ` ${key}`, bold: true }, dim(` ${meaning} `)]);
}
