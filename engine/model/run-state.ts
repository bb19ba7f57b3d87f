/**
 * Run state: what the terminal UI, the line reporter, `watch` and `replay` know of a run, made from its events by
 * one pure reducer.
 */
export { initialRunState, reduce } from "./run-state/reduce.ts";
export { stepPhases } from "./run-state/types.ts";
export type { LogLine, NodeState, RunState, StepPhase, StepState } from "./run-state/types.ts";
export {
  elapsed,
  eta,
  failedSteps,
  finished,
  logTail,
  mainSeries,
  queuedSteps,
  rate,
  runningSteps,
  seriesHistory,
  settled,
  share,
  stepAt,
  stepById,
  stepRemaining,
  timeByNode,
} from "./run-state/select.ts";
