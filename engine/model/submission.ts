/**
 * A submission: steps that went to Slurm as one array, and all that the driver and their workers say to each other,
 * as files in a folder that both see.
 *
 *   <store>/slurm/<token>/
 *     submission.json         what its workers need to begin
 *     script.sh               what Slurm runs
 *     request/<i>-<id>.json   the request of step i; gone once nobody waits for it any more
 *     claim/<i>.json          the worker that serves step i: made once, by a link
 *     out/<i>.ndjson          what that worker says, appended
 *     in/<i>.ndjson           what drivers answer, appended
 *     done/<i>.json           how step i ended: put there by one rename
 *     work/                   private folders of steps
 *     log/<element>.txt       what an element of the array printed
 *     spent                   no step is left that a worker could take
 *
 * Numbers tell only order: element i begins with step i, and goes on with steps whose own elements still wait.
 */
import { join } from "node:path";
import type { WorkerMessage } from "./protocol.ts";

/** Folder of a store's submissions. */
export function submissionsFolder(storeRoot: string): string {
  return join(storeRoot, "slurm");
}

/** Subfolders of a submission. */
export const submissionParts = ["request", "claim", "out", "in", "done", "work", "log"] as const;

export const spentFile = "spent";

/** `submission.json`. */
export interface SubmissionHead {
  readonly token: string;
  readonly storeRoot: string;
  /** URLs of modules that export `library`. */
  readonly libraryUrls: readonly string[];
  /** How many steps, and so elements, there are. */
  readonly count: number;
  /** A worker that has run for so many ms takes no further step: those have their own elements, and more time left. */
  readonly reuseFor: number;
  /** ms since the epoch, by the driver's clock. */
  readonly createdAt: number;
  /** `sbatch`'s arguments, without the script. */
  readonly args: readonly string[];
}

/** `claim/<i>.json`. */
export interface Claim {
  readonly element: number;
  /** Id of the array. */
  readonly job: string;
  readonly node: string;
  /** Numbers of the GPUs that Slurm gave. */
  readonly gpus: readonly number[];
}

/** A line of `out/<i>.ndjson`. */
export type WorkerLine =
  | WorkerMessage
  /** A line that the worker's process printed. */
  | { readonly kind: "output"; readonly line: string }
  /** Bytes that the worker and the programs that it started hold, at most so far. */
  | { readonly kind: "memory"; readonly bytes: number };

type Answer = Extract<WorkerMessage, { kind: "scanned" | "done" | "failed" | "cancelled" }>;

/** `done/<i>.json`. */
export interface StepEnd {
  readonly answer: Answer;
  /** Why the step ended early, where Slurm said so: its time is nearly over, or it was told to end. */
  readonly told?: "time" | "end";
}

export const requestName = (index: number, id: string): string => `${index}-${id}.json`;

/** The place and the id in the name of a request's file. */
export function parseRequestName(name: string): { readonly index: number; readonly id: string } | undefined {
  const match = /^(\d+)-([0-9a-f]{64})\.json$/.exec(name);
  return match ? { index: Number(match[1]), id: match[2] as string } : undefined;
}
