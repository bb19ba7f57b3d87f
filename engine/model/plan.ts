import type { ArtifactRef } from "./artifact.ts";
import type { Fingerprint } from "./fingerprint.ts";
import type { Json } from "./json.ts";
import type { Digest, Key, StepId } from "./ids.ts";

/** One field in which a step's fingerprint differs from the last one kept for the step. */
export interface FieldChange {
  /** `type`, `version`, `seed`, `params.epochs`, `inputs.pairs`, `external.images/a.png`, ... */
  readonly field: string;
  /** Absent where the field is new. */
  readonly before?: Json;
  /** Absent where the field is gone. */
  readonly after?: Json;
  /** For an input: why its digest changed, from the step it came from. */
  readonly because?: { readonly step: StepId; readonly changes: readonly FieldChange[] };
}

/** Why a step has the plan it has. */
export type Reason =
  | { readonly kind: "cached"; readonly key: Key; readonly finishedAt: number }
  | { readonly kind: "first-time" }
  | { readonly kind: "changed"; readonly changes: readonly FieldChange[] }
  | { readonly kind: "forced" }
  | { readonly kind: "not-cacheable" }
  | { readonly kind: "outputs-missing"; readonly neededBy: StepId }
  | { readonly kind: "same-work"; readonly as: StepId }
  | { readonly kind: "upstream-runs"; readonly steps: readonly StepId[] }
  | { readonly kind: "not-scanned" };

/** What will become of a step. `shared` steps do the work of another step of the same plan. */
export type StepStatus = "hit" | "run" | "rebuild" | "shared" | "unknown";

export interface PlannedStep {
  readonly status: StepStatus;
  readonly reason: Reason;
}

/** What will become of the steps. */
export interface PlanOutline {
  /** Same order and indices as `Grid.steps`. */
  readonly statuses: readonly StepStatus[];
  readonly counts: Readonly<Record<StepStatus, number>>;
  /**
   * Bounds on how many steps will execute: unknown steps may all turn out to be hits, or all run. What these may have
   * to have rebuilt is counted where `Planner.foresee` has looked for it.
   */
  readonly executions: { readonly atLeast: number; readonly atMost: number };
}

/** What will become of the steps, and why. */
export interface Plan extends Omit<PlanOutline, "statuses"> {
  /** Same order and indices as `Grid.steps`. */
  readonly steps: readonly PlannedStep[];
}

/** What the steps of a plan are expected to take. Steps that are not decided yet count as if they ran. */
export interface PlanEstimate {
  /** Sum over the steps whose time can be told, ms. */
  readonly milliseconds: number;
  /** Of these, the longest chain in which each waits for the one before: no number of slots is faster. */
  readonly longestPath: number;
  /** Sum over the steps whose outputs can be told. */
  readonly bytes: number;
  /** Nodes with steps to execute, in the order of the grid. */
  readonly nodes: readonly NodeEstimate[];
}

export interface NodeEstimate {
  readonly node: string;
  readonly type: string;
  /** Steps to execute. */
  readonly steps: number;
  readonly milliseconds: number;
  readonly bytes: number;
  /** Steps of which time, or space, cannot be told. */
  readonly unknown: { readonly time: number; readonly space: number };
  /** Results of the node type that the store has. */
  readonly records: number;
  /** How many times as much there is to do for the largest step as for the one it was told from, at least 1. */
  readonly stretch: number;
}

/** What the store keeps for a key. */
export interface StoredResult {
  readonly key: Key;
  readonly fingerprint: Fingerprint;
  readonly outputs: Readonly<Record<string, ArtifactRef>>;
  readonly provenance: Provenance;
}

/** What is recorded with a result and is no part of its key. */
export interface Provenance {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly runId: string;
  readonly host: string;
  readonly ranflow: string;
  readonly node: string;
  /** Compute backend, thread count, library versions: as reported by the node while it ran. */
  readonly compute?: Readonly<Record<string, Json>>;
  /** Peak resident memory of the worker, bytes. */
  readonly peakMemory?: number;
  /** When the result came from a shared folder, ms since the epoch; absent where this store's own run made it. */
  readonly pulledAt?: number;
}

/** A file's name and digest among the external files a step read. */
export type ExternalFile = readonly [name: string, digest: Digest];
