import type { WorkerRequest } from "../../model/protocol.ts";
import type { Claim } from "../../model/submission.ts";
import type { ExecutionListener, ExecutionOutcome } from "../types.ts";
import type { Shape } from "./options.ts";
import type { SubmissionFiles } from "./submission-files.ts";

/** A step's place in a submission. */
export interface Place {
  readonly submission: Submission;
  readonly index: number;
}

/**
 * Where an entry is.
 *
 *   waiting --put into an array, or found in one of an earlier driver--> placed --outcome--> ended
 *      ^                                                                   |
 *      '--------------------- lost, and worth another try -----------------'
 */
export type EntryState =
  | { readonly kind: "waiting" }
  | ({ readonly kind: "placed" } & Place)
  /** `kept` is where the result lies, until somebody has taken it. */
  | { readonly kind: "ended"; readonly kept: Place | undefined };

/** A request that the executor serves. */
export interface Entry {
  /** Hash of all that decides what is computed: the same for every driver. */
  readonly id: string;
  readonly request: Extract<WorkerRequest, { kind: "run" }>;
  readonly shape: Shape;
  readonly listener: ExecutionListener;
  readonly settle: (outcome: ExecutionOutcome) => void;
  state: EntryState;
  cancelled: "checkpoint" | "now" | undefined;
  /** Times in a row that it was lost through no fault of its own. */
  losses: number;
  /** Bytes that its worker held at most. */
  memory: number;
  /** Its worker has put items into the memo: another attempt goes on after them. */
  remembers: boolean;
  /** What was last said of why it waits. */
  reason: string;
}

/**
 * What Slurm knows of a submission.
 *
 *   unsent --> sending --answer--> accepted
 *     ^           '--answer lost, or an earlier driver's--> unsure --in the queue, or a worker came--> accepted
 *     '------------------ not in the queue --------------------'
 */
export type Standing =
  | { readonly kind: "unsent" }
  /** `sbatch` has not answered yet. */
  | { readonly kind: "sending" }
  | { readonly kind: "unsure" }
  | { readonly kind: "accepted"; readonly job: string };

/** Since when, in ms since the epoch, an element is known to have ended or not to be in the queue. */
export interface Missing {
  readonly since: number;
  readonly ended: boolean;
}

/** An array that this driver follows. */
export interface Submission {
  readonly token: string;
  readonly files: SubmissionFiles;
  readonly args: readonly string[];
  readonly count: number;
  /** Entries that this driver waits for, by place. */
  readonly entries: Map<number, Entry>;
  /** Places of results that nobody has taken yet. */
  readonly kept: Set<number>;
  readonly claims: Map<number, Claim>;
  /** Steps without a result whose element has ended, or is not in the queue. */
  readonly missing: Map<number, Missing>;
  /** Steps that only ended because Slurm told them to, and how: why, the queue will tell. */
  readonly stopped: Map<number, "time" | "end">;
  /** Steps of which Slurm has no record, and whose workers were told to end, should they still be there. */
  readonly forgotten: Set<number>;
  /** Elements that this driver had Slurm end. */
  readonly cancelled: Set<number>;
  standing: Standing;
}

/** A submission as a driver begins to follow it. */
export function followed(
  own: Pick<Submission, "token" | "files" | "args" | "count" | "standing">,
): Submission {
  return {
    ...own,
    entries: new Map(),
    kept: new Set(),
    claims: new Map(),
    missing: new Map(),
    stopped: new Map(),
    forgotten: new Set(),
    cancelled: new Set(),
  };
}
