import type { LackingResult, RunResult, StepError } from "../events.ts";
import type { Key, RunId, StepId } from "../ids.ts";
import type { Scalar } from "../json.ts";
import type { Reason, StepStatus } from "../plan.ts";
import type { Chunked } from "./chunked.ts";
import type { Series } from "./series.ts";

/**
 * Where a step is.
 *
 *   waiting -> queued -> running -> succeeded
 *      |          ^         |-----> failed ---(retry)---> queued
 *      |          '-(retry)-'-----> cancelled
 *      |-> cached | shared        (nothing executed)
 *      '-> skipped                (a step before it failed or was cancelled)
 */
export type StepPhase =
  "waiting" | "queued" | "running" | "succeeded" | "cached" | "shared" | "failed" | "skipped" | "cancelled";

export const stepPhases = [
  "waiting",
  "queued",
  "running",
  "succeeded",
  "cached",
  "shared",
  "failed",
  "skipped",
  "cancelled",
] as const satisfies readonly StepPhase[];

export interface LogLine {
  readonly t: number;
  readonly step: StepId;
  readonly level: "info" | "warning" | "error";
  readonly message: string;
}

/** How far a running step is, with the samples that its rate comes from. */
export interface Progress {
  readonly done: number;
  /** 0 where the total is not known. */
  readonly total: number;
  readonly unit: string;
  /** `[ms since the epoch, done]`, oldest first, at least a second apart. */
  readonly samples: readonly (readonly [t: number, done: number])[];
}

export interface StepState {
  readonly id: StepId;
  /** Index into `RunState.nodes`. */
  readonly node: number;
  readonly planned: StepStatus;
  readonly phase: StepPhase;
  /** 0 until it started, then 1 for the first try. */
  readonly attempt: number;
  readonly work?: "scan" | "run";
  readonly worker?: number;
  /** The cluster's node that it runs on; absent for this machine. */
  readonly host?: string;
  /** While queued: why it waits in a cluster's queue, or for which process. */
  readonly pending?: string;
  readonly gpus?: readonly number[];
  readonly startedAt?: number;
  /** Milliseconds of execution; present once it succeeded or failed. */
  readonly duration?: number;
  /** Milliseconds, as recorded for its node type. */
  readonly expected?: number;
  readonly why?: Reason;
  readonly progress?: Progress;
  readonly series: Readonly<Record<string, Series>>;
  /** The last lines it logged. */
  readonly log: readonly LogLine[];
  /** Lines it logged in all, so that a reader knows how many are not shown. */
  readonly logged: number;
  /** Of the last failed attempt; kept while another attempt waits. */
  readonly error?: StepError;
  /** For `skipped`: the step that failed; for `shared`: the one that executed. */
  readonly because?: StepId;
  readonly checkpointed?: boolean;
  readonly key?: Key;
  readonly metrics?: Readonly<Record<string, Scalar>>;
}

export type PhaseCounts = Readonly<Record<StepPhase, number>>;

export interface NodeState {
  readonly name: string;
  readonly type: string;
  readonly axes: readonly string[];
  /** The node's steps are `RunState.steps[first .. first + size)`. */
  readonly first: number;
  readonly size: number;
  readonly counts: PhaseCounts;
  /** Attempts that ended, succeeded or not, and the milliseconds they took. */
  readonly executed: number;
  readonly spent: number;
  /** Milliseconds that succeeded executions took, and how many they were. */
  readonly succeededSpent: number;
  readonly succeededCount: number;
  readonly slowest?: { readonly step: StepId; readonly duration: number };
}

/** Everything that a reporter may show of a run. */
export interface RunState {
  /** `idle` until the first event. */
  readonly status: "idle" | "planning" | "running" | "stopping" | "succeeded" | "failed" | "interrupted";
  /** Number of the last event taken; -1 before the first. */
  readonly last: number;
  readonly run?: RunId;
  readonly pipeline: string;
  readonly path: string;
  readonly store: string;
  /** The store as it was named with `--store`; absent where it was not. */
  readonly storeOption?: string;
  readonly version: string;
  readonly backend: string;
  readonly pid?: number;
  readonly slots: { readonly cpu: number; readonly memory: number; readonly gpu: number };
  /** Times of the first and the last event, ms since the epoch; 0 before the first. */
  readonly startedAt: number;
  readonly now: number;
  /** Milliseconds, once finished. */
  readonly duration?: number;
  readonly stopping?: "checkpoint" | "now";
  readonly executions: { readonly atLeast: number; readonly atMost: number };
  /** How many steps were asked for, out of how many; absent where all were. */
  readonly selection?: { readonly selected: number; readonly of: number };
  readonly nodes: readonly NodeState[];
  readonly steps: Chunked<StepState>;
  /** Built once per plan and never changed. */
  readonly index: ReadonlyMap<StepId, number>;
  readonly counts: PhaseCounts;
  /** Indices of running steps, in order of start. */
  readonly running: readonly number[];
  /** Indices of failed steps, in order of failure. */
  readonly failed: readonly number[];
  /** The last log lines of all steps. */
  readonly log: readonly LogLine[];
  /** Integral of the number of running steps over time, and the time in which there was any, ms. */
  readonly busy: number;
  readonly active: number;
  readonly results: readonly RunResult[];
  readonly lacking: readonly LackingResult[];
}
