import { timeByNode } from "../../model/run-state.ts";
import type { RunState } from "../../model/run-state.ts";
import { formatCount, formatDuration, formatPercent } from "../../report/format.ts";
import { bar } from "../bar.ts";
import type { PaneSize } from "../layout.ts";
import type { Look } from "../look.ts";
import { dim, plain } from "../spans.ts";
import type { Spans } from "../spans.ts";
import { cut, padEnd, padStart } from "../text.ts";

const nameWidth = 16;

/** Where the time went so far, the longest first. */
export function timePaneRows(state: RunState, size: PaneSize, look: Look): readonly Spans[] {
  return timeByNode(state)
    .slice(0, size.rows)
    .map(({ node, spent, share: part }) => [
      plain(`  ${padEnd(cut(node.name, nameWidth, look.glyphs.ellipsis), nameWidth)} `),
      ...bar(part, 24, look),
      plain(padStart(formatPercent(part), 5)),
      dim(
        `${padStart(formatDuration(spent), 9)}  ${formatCount(node.executed)} x ${formatDuration(spent / node.executed)}`,
      ),
    ]);
}
