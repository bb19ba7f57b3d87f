import type { ArtifactRef } from "../model/artifact.ts";
import type { ExternalList, Fingerprint } from "../model/fingerprint.ts";
import type { Grid } from "../model/grid.ts";
import type { Key } from "../model/ids.ts";
import type { Plan, PlanOutline, PlannedStep, Reason, StoredResult } from "../model/plan.ts";

/** What the scheduler is to do about a step now. */
export type Action =
  /** Find and hash the step's external files; answer with `scanned`. */
  | { readonly kind: "scan"; readonly step: number }
  /** Execute the step; answer with `finished` or `failed`. */
  | {
      readonly kind: "run";
      readonly step: number;
      readonly key: Key;
      readonly rebuild: boolean;
      readonly why: Reason;
    }
  /** The result was in the store: nothing to execute. `isCurrent`: it is the step's last result as it is. */
  | { readonly kind: "hit"; readonly step: number; readonly key: Key; readonly isCurrent: boolean }
  /** Another step of this run with the same key has executed: its result is this step's. */
  | { readonly kind: "shared"; readonly step: number; readonly as: number; readonly key: Key };

/**
 * Decides steps as their inputs land: the one definition behind `ranflow plan` and `ranflow run`.
 *
 *   undecided --inputs known--> (scan) --> hit | run | shared
 *   hit --a step that must run reads it and its bytes are gone--> rebuild
 */
export interface Planner {
  readonly grid: Grid;
  /** Decides every step that can be decided now. Call once, first. */
  start(): Promise<void>;
  /** Looks for what undecided steps may have to have rebuilt, and counts it in the bounds of a plan. */
  foresee(): Promise<void>;
  /** Status and reason of every step as known now. */
  snapshot(): Plan;
  /** What a snapshot says, without the reasons. */
  outline(): PlanOutline;
  planned(step: number): PlannedStep;
  key(step: number): Key | undefined;
  fingerprint(step: number): Fingerprint | undefined;
  outputs(step: number): Readonly<Record<string, ArtifactRef>> | undefined;
  /** Actions that became possible since the last call, in topological order. Each is given out once. */
  takeActions(): readonly Action[];
  /** The external files of a step are hashed (undefined: its parameters name none). */
  scanned(step: number, external: ExternalList | undefined): Promise<void>;
  /** The step executed and its result was committed. */
  finished(step: number, result: StoredResult): Promise<void>;
  /**
   * The step cannot be had: resolves with the undecided or waiting steps after it that therefore cannot run either.
   * Where its inputs have become other ones meanwhile, there are none: it is decided anew.
   */
  failed(step: number): Promise<readonly number[]>;
  /** A failed step is tried again; false where it does not stand as it was given out, and is given out anew in time. */
  retry(step: number): boolean;
}
