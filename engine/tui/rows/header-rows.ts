import { elapsed, eta, queuedSteps, settled } from "../../model/run-state.ts";
import type { RunState } from "../../model/run-state.ts";
import { formatClock, formatCount, formatEstimate, selectionWords } from "../../report/format.ts";
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
    running: { text: runningWords(state), color: "yellow" },
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
    ...(left && width >= 50
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
    dim(state.selection ? `  ${selectionWords(state.selection, state.steps.length)}` : ""),
  ];
  const total = state.steps.length;
  const done = plain(`${formatCount(settled(state.counts))}/${formatCount(total)}`);
  const words = [done, ...countSpans(state, look, true)];
  // Where words would squeeze the bar, glyphs alone say it.
  const counts = width - spansWidth(words) - 4 >= 16 ? words : [done, ...countSpans(state, look, false)];
  const barWidth = Math.max(4, Math.min(60, width - spansWidth(counts) - 4));
  const filled = total > 0 ? settled(state.counts) / total : 0;
  return [
    justified(title, [...clock, plain(" ")], width, look.glyphs.ellipsis),
    [plain(" "), ...bar(filled, barWidth, look), plain("  "), ...counts],
  ];
}

/** While nothing runs, why: what waits in a cluster's queue says so. */
function runningWords(state: RunState): string {
  const reason = state.running.length === 0 ? queuedSteps(state, 1)[0]?.pending : undefined;
  return reason === undefined ? "running" : `waiting: ${reason}`;
}

function countSpans(state: RunState, look: Look, named: boolean): Spans {
  const { counts } = state;
  const said: readonly (readonly [CellKind, number, string])[] = [
    ["failed", counts.failed, " failed"],
    ["skipped", counts.skipped, " skipped"],
    ["cancelled", counts.cancelled, " cancelled"],
    ["running", counts.running, " running"],
    ["queued", counts.queued, " queued"],
    ["cached", counts.cached + counts.shared, " cached"],
  ];
  return said
    .filter(([, count]) => count > 0)
    .map(([kind, count, word]) => ({
      text: `  ${look.glyphs.cell[kind]}${named ? " " : ""}${formatCount(count)}${named ? word : ""}`,
      color: cellColors[kind],
    }));
}
