import type { Pointer } from "../../cache/types.ts";
import type { ArtifactRef } from "../model/artifact.ts";
import type { ExternalList } from "../model/fingerprint.ts";
import type { Key } from "../model/ids.ts";

/** Outputs of a step by port. */
export type Outputs = Readonly<Record<string, ArtifactRef>>;

/**
 * What is known about a step.
 *
 *   undecided --> hit --> rebuild           hit: its bytes may be gone, which matters to none but its readers
 *   undecided --> run | shared
 *   any       --> undecided                 an input turned out to have other bytes than the decision was made on
 */
export type Decision =
  | { readonly kind: "undecided" }
  | { readonly kind: "hit"; readonly key: Key; readonly finishedAt: number }
  | { readonly kind: "run"; readonly key: Key; readonly why: "forced" | "not-cacheable" | "missing" }
  | { readonly kind: "rebuild"; readonly key: Key; readonly neededBy: number }
  | { readonly kind: "shared"; readonly key: Key; readonly as: number };

/** A step as the planner knows it. */
export interface StepState {
  /** Number of steps it reads whose outputs are not known. */
  pending: number;
  scan: "needless" | "wanted" | "done";
  external: ExternalList | undefined;
  decision: Decision;
  outputs: Outputs | undefined;
  /** Counts decisions, so that an action made on an earlier one is not given out. */
  epoch: number;
  /** Given out to be executed, and not finished yet. */
  executing: boolean;
  /** Given out and failed for good: the user may have it tried again, on the same inputs while these stay. */
  failed: boolean;
  /** Executed in this run. */
  executed: boolean;
  /** Rebuilding steps whose bytes it needs before it can start. */
  waits: Set<number> | undefined;
  /** Outputs that the store had for the key before it was executed. */
  prior: Outputs | undefined;
  /** The step's last result before this run. */
  before: Pointer | undefined;
}

export const undecided: Decision = { kind: "undecided" };

/** A step of which nothing is known. */
export function initialState(pending: number, needsScan: boolean): StepState {
  return {
    pending,
    scan: needsScan ? "wanted" : "needless",
    external: undefined,
    decision: undecided,
    outputs: undefined,
    epoch: 0,
    executing: false,
    failed: false,
    executed: false,
    waits: undefined,
    prior: undefined,
    before: undefined,
  };
}

/** Whether two results have the same bytes at every port. */
export function sameOutputs(a: Outputs, b: Outputs): boolean {
  const ports = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...ports].every((port) => a[port]?.digest === b[port]?.digest);
}
