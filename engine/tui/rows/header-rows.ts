import { elapsed, eta, settled } from "../../model/run-state.ts";
import type { RunState } from "../../model/run-state.ts";
import { formatClock, formatCount, formatEstimate } from "../../report/format.ts";
import { bar } from "../bar.ts";
import { cellColors } from "../look.ts";
import type { CellKind, Look } from "../look.ts";
import { dim, justified, plain, spansWidth } from "../spans.ts";
import type { Span, Spans } from "../spans.ts";

/** Pipeline, status, clock and ETA; below it the bar and the counts. */
export function headerRows(state: RunState, now: number, width: number, look: Look): readonly Spans[] {
  const status: Readonly<Record<RunState["status"], Span>> = {
    idle: dim("starting"),
    planning: { text: "planning", color: "blue" },
    running: { text: "running", color: "yellow" },
    stopping: {
      text:
        state.stopping === "now"
          ? "stopping now"
          : "stopping: steps save checkpoints, ctrl-c again stops now",
      color: "magenta",
      bold: true,
    },
    succeeded: { text: "succeeded", color: "green", bold: true },
    failed: { text: "failed", color: "red", bold: true },
    interrupted: { text: "interrupted", color: "magenta", bold: true },
  };
  const left = eta(state, now);
  const clock: Spans = [
    plain(formatClock(elapsed(state, now))),
    ...(left
      ? [
          dim(left.atLeast ? ", at least " : ", about "),
          plain(formatEstimate(left.milliseconds)),
          dim(" left"),
        ]
      : []),
  ];
  const title: Spans = [
    { text: ` ${state.pipeline || "ranflow"}`, bold: true },
    plain("  "),
    status[state.status],
    dim(state.backend === "" ? "" : `  ${state.backend}`),
  ];
  const total = state.steps.length;
  const counts: Span[] = [plain(`${formatCount(settled(state.counts))}/${formatCount(total)}`)];
  const said: readonly (readonly [CellKind, number, string])[] = [
    ["failed", state.counts.failed, "failed"],
    ["skipped", state.counts.skipped, "skipped"],
    ["cancelled", state.counts.cancelled, "cancelled"],
    ["running", state.counts.running, "running"],
    ["queued", state.counts.queued, "queued"],
    ["cached", state.counts.cached + state.counts.shared, "cached"],
  ];
  for (const [kind, count, word] of said)
    if (count > 0)
      counts.push(plain("  "), {
        text: `${look.glyphs.cell[kind]} ${formatCount(count)} ${word}`,
        color: cellColors[kind],
      });
  const used = spansWidth(counts);
  const barWidth = Math.max(8, Math.min(60, width - used - 4));
  const filled = total > 0 ? settled(state.counts) / total : 0;
  return [
    justified(title, [...clock, plain(" ")], width, look.glyphs.ellipsis),
    [plain(" "), ...bar(filled, barWidth, look), plain("  "), ...counts],
  ];
}
