import type { ArtifactRef } from "../model/artifact.ts";
import type { StepError } from "../model/events.ts";
import type { Resources } from "../model/grid.ts";
import type { ExternalList } from "../model/fingerprint.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { SlurmOptions } from "../model/slurm.ts";
import type { WorkerAsk, WorkerMessage, WorkerRequest } from "../model/protocol.ts";

type WithoutNumber<T> = T extends unknown ? Omit<T, "request"> : never;

/** A request as the scheduler makes it; the executor numbers it. */
export type StepRequest = WithoutNumber<WorkerRequest>;

/** What the process that serves a request must be given from outside. */
export interface Placement {
  /** Compute threads: fixed when the process starts. */
  readonly threads: number;
  /** Numbers of the GPU slots, empty for none. */
  readonly gpus: readonly number[];
  /** What the step asks of Slurm; absent where it runs on this machine. */
  readonly slurm?: { readonly options: SlurmOptions; readonly resources: Resources };
}

/** Where a step runs, if that is another machine. */
export interface Place {
  readonly node: string;
  /** Numbers of the GPUs that it was given there. */
  readonly gpus: readonly number[];
}

/** What is heard of a request while it is served. */
export interface ExecutionListener {
  /** The request waits in a cluster's queue, or the reason why it does has changed. */
  pending?(reason: string): void;
  /** The request is being served, by the worker of this number. A step that goes on elsewhere starts again. */
  started(worker: number, place?: Place): void;
  progress(
    update: Pick<Extract<WorkerMessage, { kind: "progress" }>, "done" | "total" | "unit" | "series">,
  ): void;
  log(level: "info" | "warning", message: string): void;
  /** A line that the step's process wrote to its stdout or stderr. */
  output(line: string): void;
}

/** How a request ended. */
export type ExecutionOutcome =
  | {
      readonly kind: "scanned";
      /** Absent where the parameters name no external files. */
      readonly external?: { readonly root: string; readonly dataset: string; readonly list: ExternalList };
    }
  | {
      readonly kind: "done";
      readonly outputs: Readonly<Record<string, ArtifactRef>>;
      readonly provenance: JsonObject;
      /** Bytes. */
      readonly peakMemory: number;
    }
  | { readonly kind: "failed"; readonly error: StepError; readonly transient: boolean }
  | { readonly kind: "cancelled"; readonly checkpointed: boolean };

/** A request on its way. */
export interface Execution {
  /** Never rejects: a crash of the process is a failed outcome. */
  readonly outcome: Promise<ExecutionOutcome>;
  /** `checkpoint` lets the step save first and may take its time; `now` does not wait. */
  cancel(how: "checkpoint" | "now"): void;
  /** The outcome is safe: what is kept for a driver that would come after this one can go. */
  taken?(): void;
}

/**
 * Where steps run. The scheduler gives out slots and decides what runs; an executor only serves requests:
 * this machine's worker processes here, a cluster's queue elsewhere. Node types know nothing of it.
 */
export interface Executor {
  /** A step that runs so will come soon: what takes a while to be ready begins now. */
  expect?(placement: Placement): void;
  execute(request: StepRequest, placement: Placement, listener: ExecutionListener): Execution;
  /** Stops whatever is still there, at once. */
  close(): Promise<void>;
}

/** Answers what a worker asks of the store's index. */
export type Answerer = (question: WorkerAsk) => Promise<Json>;
