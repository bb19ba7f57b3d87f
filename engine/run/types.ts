import type { Store } from "../../cache/types.ts";
import type { Executor } from "../executors/types.ts";
import type { Diagnostic } from "../model/diagnostic.ts";
import type { EventSink } from "../model/events.ts";
import type { Grid } from "../model/grid.ts";
import type { RunId } from "../model/ids.ts";
import type { RunControls } from "../model/reporter.ts";
import type { Planner } from "../plan/types.ts";
import type { Slots } from "./slots.ts";

export interface RunOptions {
  readonly slots: Slots;
  /** After a failure, go on with what does not depend on it. */
  readonly keepGoing: boolean;
  /** `auto`, or the name given with `--backend`. */
  readonly backend: string;
  /** Compute threads per worker; absent: as many as the step's cpu slots. */
  readonly threads?: number;
  readonly checkpointMinutes: number;
  /** Milliseconds before the next attempt; `failures` counts from 1. Default: 1 s, doubled each time, at most 60 s. */
  readonly backoff?: (failures: number) => number;
  /** Milliseconds a timed-out or cancelled step gets to save and end before it is killed. Default 10 s. */
  readonly grace?: number;
}

/** Everything a run is made of. */
export interface RunInput {
  readonly grid: Grid;
  /** Not started yet. */
  readonly planner: Planner;
  readonly store: Store;
  /** Stays open: the caller closes it. */
  readonly executor: Executor;
  /** Takes the run's events, numbered and timed. */
  readonly sink: EventSink;
  readonly run: { readonly id: RunId; readonly folder: string };
  readonly options: RunOptions;
  /** Version of ranflow, for the result's provenance. */
  readonly version: string;
  /** How the pipeline was opened, for those who open it again from the event log. */
  readonly invocation: {
    readonly sets: readonly string[];
    readonly profiles?: readonly string[];
    /** Selectors and `--axes` texts. */
    readonly steps?: readonly string[];
    readonly axes?: readonly string[];
    /** Selectors of `--force`; none where it stood alone. */
    readonly force?: readonly string[];
    readonly cwd: string;
    /** What `--store` says. */
    readonly store?: string | undefined;
  };
  /** Where the grid is a part of the pipeline's: how many steps were asked for, out of how many. */
  readonly selection?: { readonly selected: number; readonly of: number };
}

export type RunOutcome =
  /** Nothing ran: the pipeline asks for what is not there. */
  | { readonly kind: "refused"; readonly diagnostics: readonly Diagnostic[] }
  | {
      readonly kind: "finished";
      readonly outcome: "succeeded" | "failed" | "interrupted";
      /** Why the run's own log is not complete, for instance a full disk. */
      readonly journalProblem?: Error;
    };

/** A run that goes on. */
export interface StartedRun {
  readonly controls: RunControls;
  readonly outcome: Promise<RunOutcome>;
}
