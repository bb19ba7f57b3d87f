import type { StepState } from "../../model/run-state.ts";
import { formatEstimate, printableLines } from "../../report/format.ts";
import { windowOf } from "../layout.ts";
import type { PaneSize } from "../layout.ts";
import { cellColors } from "../look.ts";
import type { Look } from "../look.ts";
import { dim, justified, plain } from "../spans.ts";
import type { Spans } from "../spans.ts";
import { shortId } from "../text.ts";
import type { View } from "../view.ts";

/** Failed steps, the newest first: what failed, and why. */
export function failedPaneRows(view: View, size: PaneSize, look: Look): readonly Spans[] {
  const newest = view.failed.toReversed();
  const both = size.rows >= 2 * newest.length || size.rows >= 4;
  const each = both ? 2 : 1;
  const at = Math.max(
    0,
    newest.findIndex(({ id }) => id === view.step?.id),
  );
  const { from, to } = windowOf(newest.length, Math.max(1, Math.floor(size.rows / each)), at);
  return newest.slice(from, to).flatMap((step): Spans[] => {
    const focused = view.focus === "failed" && step.id === view.step?.id;
    const words = step.error
      ? `${step.error.kind === "node" ? "" : `${step.error.kind}: `}${printableLines(step.error.message).join(" ")}`
      : "";
    const hint = step.error?.hint === undefined ? "" : `  ${printableLines(step.error.hint).join(" ")}`;
    const title: Spans = [
      {
        text: `${focused ? look.glyphs.pointer : look.glyphs.cell.failed} `,
        color: focused ? "cyan" : "red",
        bold: true,
      },
      {
        text: shortId(step.id, both ? size.width - 2 : Math.floor(size.width / 2), look.glyphs.ellipsis),
        bold: true,
      },
    ];
    return both ? [title, [plain("    "), plain(words), dim(hint)]] : [[...title, plain("  "), plain(words)]];
  });
}

/** The first queued steps, in plan order. */
export function queuePaneRows(queued: readonly StepState[], size: PaneSize, look: Look): readonly Spans[] {
  return queued.map((step): Spans => {
    const expected = step.expected === undefined ? "" : `about ${formatEstimate(step.expected)}`;
    const again = step.pending ?? (step.error === undefined ? "" : "waits to try again");
    return justified(
      [
        { text: `${look.glyphs.cell.queued} `, color: cellColors.queued },
        plain(shortId(step.id, size.width - 24 - Math.max(0, again.length - 18), look.glyphs.ellipsis)),
      ],
      [{ text: again === "" ? "" : `${again}  `, color: "magenta" }, dim(expected)],
      size.width,
      look.glyphs.ellipsis,
    );
  });
}
