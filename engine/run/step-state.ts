import type { Execution, ExecutionOutcome } from "../executors/types.ts";
import type { StepError } from "../model/events.ts";
import type { StepId } from "../model/ids.ts";
import type { Action } from "../plan/types.ts";
import type { Committed } from "./ledger.ts";
import type { Taken } from "./slots.ts";

/** A scan or a run that the planner asked for, with the attempts that failed so far. */
export interface Work {
  readonly action: Extract<Action, { kind: "scan" | "run" }>;
  readonly failures: number;
}

export type Release = () => void;

/** A step in a worker. `started` is false until the worker has taken it up. */
export interface Running {
  readonly kind: "running";
  readonly work: Work;
  readonly taken: Taken;
  readonly lease: Release | undefined;
  execution: Execution | undefined;
  /** Milliseconds since the epoch. */
  startedAt: number;
  /** Ends the step when its timeout, or its time to save after a cancel, is over. */
  timer: NodeJS.Timeout | undefined;
  /** Why it was told to end. */
  ending: "timeout" | "cancelled" | "stopping" | undefined;
}

/**
 * State of a step that the planner has given out.
 *
 *   (planner) --action--> queued --slot--> leasing --lease--> running --done--> committing --> done
 *                           ^  ^              |                |  |  `--scanned--> (planner)
 *                           |  |           held elsewhere      |  `--cancelled--> cancelled
 *                           |  |              v                v
 *                           |  `-lease held-- waiting        failed --attempts left--> backoff --,
 *                           `-------------------------------------------------------------------'
 *
 *   A scan needs no lease: it goes from queued to running. What depends on a failed or cancelled step is skipped;
 *   `retryFailed` sends failed steps back to queued, and skipped ones back to the planner.
 */
export type StepState =
  | { readonly kind: "queued"; readonly work: Work; readonly lease: Release | undefined }
  | { readonly kind: "leasing"; readonly work: Work; readonly taken: Taken; readonly abort: AbortController }
  | { readonly kind: "waiting"; readonly work: Work; readonly abort: AbortController }
  | Running
  | { readonly kind: "committing"; readonly work: Work; readonly lease: Release | undefined }
  | { readonly kind: "backoff"; readonly work: Work; readonly timer: NodeJS.Timeout }
  | { readonly kind: "failed"; readonly work: Work }
  | { readonly kind: "cancelled" }
  /** `work` is there where it was queued already: a scan, which needs no inputs. */
  | { readonly kind: "skipped"; readonly because: StepId; readonly work: Work | undefined }
  | { readonly kind: "done" };

/** Something that happened to a run. They are handled one at a time, in the order in which they came. */
export type Happening =
  | { readonly kind: "leased"; readonly step: number; readonly release: Release }
  | { readonly kind: "lease-held"; readonly step: number; readonly holder: string }
  | { readonly kind: "lease-failed"; readonly step: number; readonly error: unknown }
  | { readonly kind: "ended"; readonly step: number; readonly outcome: ExecutionOutcome }
  | {
      readonly kind: "committed";
      readonly step: number;
      readonly committed: Committed;
      /** Milliseconds the step took. */
      readonly duration: number;
    }
  | {
      readonly kind: "commit-failed";
      readonly step: number;
      readonly error: StepError;
      readonly duration: number;
    }
  | { readonly kind: "retry-due"; readonly step: number; readonly work: Work }
  | { readonly kind: "timed-out"; readonly step: number; readonly running: Running }
  | { readonly kind: "stop" }
  | { readonly kind: "cancel"; readonly step: StepId }
  | { readonly kind: "retry-failed" };
