import type { Scalar } from "./json.ts";
import type { Key, RunId, StepId } from "./ids.ts";
import type { Lack } from "./lack.ts";
import type { Reason, StepStatus } from "./plan.ts";

/** A node as events describe it: its steps as ids in grid order. */
export interface EventNode {
  readonly name: string;
  readonly type: string;
  readonly axes: readonly string[];
  readonly steps: readonly StepId[];
}

/** How a failed step failed, in words for the user. */
export interface StepError {
  /** `node` (the node type said so), `crash`, `timeout`, `internal`, `io`, `cluster` (what a queue made of it). */
  readonly kind: "node" | "crash" | "timeout" | "internal" | "io" | "cluster";
  readonly message: string;
  readonly hint?: string;
  /** Stack or stderr tail, for the log; never the first thing shown. */
  readonly detail?: string;
  /** `file:line:column` of the node in the YAML. */
  readonly at?: string;
}

/** The whole run is beginning. */
interface RunStarted {
  readonly type: "run-started";
  readonly run: RunId;
  readonly pipeline: string;
  /** Absolute path of the pipeline file. */
  readonly path: string;
  /** The `--set` texts, in order, and the working directory against which their paths resolve. */
  readonly sets: readonly string[];
  /** Names of `--profile`, in order; absent where there are none. */
  readonly profiles?: readonly string[];
  /** Selectors, and `--axes` texts, in order; absent where there are none. */
  readonly steps?: readonly string[];
  readonly axes?: readonly string[];
  /** Selectors of `--force`, none where it stood alone; absent without it. */
  readonly force?: readonly string[];
  readonly cwd: string;
  readonly store: string;
  /** The store as it was named with `--store`: the commands that the user is told to give name it, too. */
  readonly storeOption?: string;
  readonly version: string;
  readonly pid: number;
  /** Machine that `pid` is on; `watch` looks for the process only there. */
  readonly host?: string;
  readonly slots: { readonly cpu: number; readonly memory: number; readonly gpu: number };
  readonly backend: string;
}

/** What is to be done is known, as far as it can be before anything ran. */
interface PlanReady {
  readonly type: "plan-ready";
  readonly nodes: readonly EventNode[];
  /** Status of each step, nodes in order and steps in order, so that 100,000 steps stay small. */
  readonly statuses: readonly StepStatus[];
  readonly executions: { readonly atLeast: number; readonly atMost: number };
  /** How many steps were asked for, out of how many; absent where all were. Other steps are what these need. */
  readonly selection?: { readonly selected: number; readonly of: number };
}

/** All inputs of the step are there and it waits for a slot. */
interface StepQueued {
  readonly type: "step-queued";
  readonly step: StepId;
  readonly why: Reason;
  /** Milliseconds, from recorded durations of the same node type; absent where unknown. */
  readonly expected?: number;
}

/** The step waits in a cluster's queue, or for a process that executes it already; or the reason has changed. */
interface StepPending {
  readonly type: "step-pending";
  readonly step: StepId;
  /** For instance `process 4711 on host executes it already`; or in the cluster's words, such as `Resources`. */
  readonly reason: string;
}

interface StepStarted {
  readonly type: "step-started";
  readonly step: StepId;
  /** 1 for the first try. */
  readonly attempt: number;
  /** `scan` hashes the external files; `run` does the work. */
  readonly phase: "scan" | "run";
  /** Number of the worker process, from 0. */
  readonly worker: number;
  /** The cluster's node that it runs on; absent for this machine. */
  readonly host?: string;
  readonly gpus?: readonly number[];
}

/** The files that the step reads from outside are hashed; it may wait for its other inputs still. */
interface StepScanned {
  readonly type: "step-scanned";
  readonly step: StepId;
}

interface StepProgress {
  readonly type: "step-progress";
  readonly step: StepId;
  readonly done: number;
  /** 0 where the total is not known. */
  readonly total: number;
  /** What one unit is: `step`, `image`, `caption`, `file`. */
  readonly unit?: string;
  /** Live series by name, for instance loss and learning rate. */
  readonly series?: Readonly<Record<string, number>>;
}

interface StepLog {
  readonly type: "step-log";
  readonly step: StepId;
  readonly level: "info" | "warning" | "error";
  readonly message: string;
}

/** Results that were in the store as soon as their keys were known: the steps, and the key of each. */
interface StepsCached {
  readonly type: "steps-cached";
  readonly steps: readonly StepId[];
  readonly keys: readonly Key[];
}

/** The step was to execute, and its result had come into the store meanwhile, from another process. */
interface StepCached {
  readonly type: "step-cached";
  readonly step: StepId;
  readonly key: Key;
}

interface StepSucceeded {
  readonly type: "step-succeeded";
  readonly step: StepId;
  readonly key: Key;
  /** Milliseconds of wall time. */
  readonly duration: number;
  /** Id of the step whose execution this one shares; absent for the one that executed. */
  readonly sharedWith?: StepId;
  /** Flat record of what the step measured, where it has a metrics port. */
  readonly metrics?: Readonly<Record<string, Scalar>>;
}

interface StepFailed {
  readonly type: "step-failed";
  readonly step: StepId;
  readonly attempt: number;
  readonly duration: number;
  readonly error: StepError;
  /** True where another attempt follows. */
  readonly willRetry: boolean;
}

/** A step that cannot run because one before it failed or was cancelled. */
interface StepSkipped {
  readonly type: "step-skipped";
  readonly step: StepId;
  readonly because: StepId;
}

interface StepCancelled {
  readonly type: "step-cancelled";
  readonly step: StepId;
  /** True where a checkpoint was kept and the next run goes on from it. */
  readonly checkpointed: boolean;
}

/** The user asked to stop: nothing new starts; `now` does not wait for checkpoints. */
interface RunStopping {
  readonly type: "run-stopping";
  readonly how: "checkpoint" | "now";
}

interface RunFinished {
  readonly type: "run-finished";
  readonly outcome: "succeeded" | "failed" | "interrupted";
  readonly duration: number;
  /** Paths of reports and figures that this run's last steps wrote, for the summary. */
  readonly results: readonly RunResult[];
  /** Results of this run, made now or before, that lack some of their items; absent where there are none. */
  readonly lacking?: readonly LackingResult[];
}

export interface LackingResult extends Lack {
  readonly step: StepId;
}

/** Something a person wants to see after the run: a table as text, or a file to open. */
export interface RunResult {
  readonly step: StepId;
  readonly title: string;
  /** Plain text to print, for instance a Markdown table. */
  readonly text?: string;
  readonly files: readonly string[];
}

export type RunEventBody =
  | RunStarted
  | PlanReady
  | StepQueued
  | StepPending
  | StepStarted
  | StepScanned
  | StepProgress
  | StepLog
  | StepsCached
  | StepCached
  | StepSucceeded
  | StepFailed
  | StepSkipped
  | StepCancelled
  | RunStopping
  | RunFinished;

/** One line of a run's `events.ndjson`: plain JSON, numbered from 0, timed in ms since the epoch. */
export type RunEvent = RunEventBody & { readonly n: number; readonly t: number };

/** Something that takes events; the engine's only way to speak. */
export type EventSink = (event: RunEvent) => void;
