import type { ReactElement } from "react";
import type { Look } from "../look.ts";
import { cellColors } from "../look.ts";
import type { CellKind } from "../look.ts";
import { dim, plain } from "../spans.ts";
import type { Spans } from "../spans.ts";
import { padEnd } from "../text.ts";
import { Pane } from "./pane.tsx";

export interface HelpProps {
  readonly width: number;
  readonly rows: number;
  readonly look: Look;
  /** False where the UI only watches. */
  readonly controls: boolean;
}

/** The keys and the glyphs, over everything else. */
export function Help({ width, rows, look, controls }: HelpProps): ReactElement | null {
  return (
    <Pane
      title={[plain("Help"), dim("  any key goes back")]}
      focused
      size={{ width, rows: rows - 1 }}
      rows={helpRows(look, controls)}
      look={look}
    />
  );
}

function helpRows(look: Look, controls: boolean): readonly Spans[] {
  const keys: readonly (readonly [string, string])[] = [
    ["j k, arrows", "move over nodes, running steps or failures"],
    ["h l, arrows", "move over the steps of the node"],
    ["g G", "first, last"],
    ["tab", "next pane"],
    ["enter", "log of the selected step"],
    ["/", "filter steps by words; escape shows all again"],
    ...(controls
      ? ([
          ["r", "run failed steps again, and what was skipped because of them"],
          ["x", "cancel the selected running step"],
          ["q", "leave this screen; the run goes on as plain lines"],
          ["ctrl-c", "stop: steps save a checkpoint first; twice stops now"],
        ] as const)
      : ([["q, ctrl-c", "stop watching; the run goes on"]] as const)),
  ];
  const glyphs: readonly (readonly [CellKind, string])[] = [
    ["waiting", "waits for steps before it"],
    ["queued", "ready, waits for a slot"],
    ["running", "running"],
    ["succeeded", "ran and succeeded"],
    ["cached", "result was in the store"],
    ["shared", "same work as another step"],
    ["failed", "failed"],
    ["skipped", "skipped: a step before it failed"],
    ["cancelled", "cancelled"],
    ["partial", "several steps, some of them done"],
  ];
  const keyRows = keys.map(([key, meaning]): Spans => [
    { text: `  ${padEnd(key, 13)}`, bold: true },
    plain(meaning),
  ]);
  const half = Math.ceil(glyphs.length / 2);
  const glyphRows = glyphs.slice(0, half).map(([kind, meaning], row): Spans => {
    const other = glyphs[row + half];
    return [
      { text: `  ${look.glyphs.cell[kind]} `, color: cellColors[kind] },
      plain(padEnd(meaning, 32)),
      ...(other
        ? [{ text: `${look.glyphs.cell[other[0]]} `, color: cellColors[other[0]] }, plain(other[1])]
        : []),
    ];
  });
  return [[], ...keyRows, [], ...glyphRows];
}
