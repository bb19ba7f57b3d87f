import { checkpointSince } from "../../worker/checkpoint.ts";
import { verdictOn } from "./policy.ts";
import type { Loss, Verdict } from "./policy.ts";
import { isLive, isPending } from "./queue.ts";
import type { ElementState, QueueView } from "./queue.ts";
import type { Entry, Submission } from "./types.ts";
import { remedy } from "./words.ts";

/** What the queue says of a step whose result is not there. */
export type Judgement =
  /** It waits, works, or its result may still be on its way. */
  | { readonly kind: "patience" }
  /** The submission is not in the queue: it was never made, or its answer was a refusal. */
  | { readonly kind: "unsent" }
  /** Slurm has no record of it, as after a crash of the controller: its worker may live on all the same. */
  | { readonly kind: "forgotten" }
  | { readonly kind: "lost"; readonly verdict: Verdict };

/** A step in a place, where an attempt at it goes on or has gone wrong. */
export interface AttemptOptions {
  readonly submission: Submission;
  readonly index: number;
  readonly entry: Entry;
  /** `<store>/checkpoints/<key>` of the step. */
  readonly checkpoints: string;
  /** Slurm has lost records of others. */
  readonly lostRecords: boolean;
}

export interface JudgeOptions extends AttemptOptions {
  readonly view: QueueView;
  /** Milliseconds in which a result may come to this machine's view of the shared folder. */
  readonly grace: number;
}

/** Looks at a step whose result is not there, by the light of the last look at the queue. */
export async function judge(options: JudgeOptions): Promise<Judgement> {
  const { entry, grace, index, submission, view } = options;
  const element = view.submissions.get(submission.token)?.get(submission.claims.get(index)?.element ?? index);
  if (element && isLive(element.state)) {
    submission.missing.delete(index);
    if (isPending(element.state)) sayWhy(entry, element);
    else saySuspended(entry, element);
    return { kind: "patience" };
  }
  // A look may have taken long: what it says has ended may have ended just now, what it does not know was not there then.
  const ended = element !== undefined;
  const now = ended ? Date.now() : view.at;
  const before = submission.missing.get(index);
  const since = before?.ended === ended ? before.since : now;
  submission.missing.set(index, { since, ended });
  // That something is not there is believed when it is still not there after a while.
  if (now - since < grace) return { kind: "patience" };
  const { standing } = submission;
  if (standing.kind === "unsure" && !element && submission.claims.size === 0) return { kind: "unsent" };
  if (!element && submission.claims.has(index) && !submission.forgotten.has(index))
    return { kind: "forgotten" };
  return { kind: "lost", verdict: verdictOn(await lossOf(options, element)) };
}

/** What is known of a step whose worker has stopped. */
export async function lossOf(options: AttemptOptions, element: ElementState | undefined): Promise<Loss> {
  const { entry, index, lostRecords, submission } = options;
  const { standing, token } = submission;
  const claim = submission.claims.get(index);
  const number = claim?.element ?? index;
  const accepted = standing.kind === "accepted" ? standing.job : token;
  const job = element?.job ?? claim?.job ?? accepted;
  return {
    state: element?.state,
    element: `${job}_${number}`,
    node: element?.node || claim?.node || "",
    shape: entry.shape,
    began: claim !== undefined,
    advanced: claim !== undefined && (await hasAdvanced(options)),
    told: submission.stopped.get(index),
    lostRecords,
    byUs: submission.cancelled.has(number),
    memory: entry.memory,
    tail: await submission.files.tail(number),
    losses: entry.losses + 1,
  };
}

/** Whether the attempt left something from which another one goes on. */
export async function hasAdvanced({
  checkpoints,
  entry,
  index,
  submission,
}: AttemptOptions): Promise<boolean> {
  return entry.remembers || checkpointSince(checkpoints, await submission.files.claimedAt(index));
}

/** A step that nobody will let go without a person's doing says so as a warning. */
function sayWhy(entry: Entry, { job, reason }: ElementState): void {
  if (reason === entry.reason) return;
  entry.reason = reason;
  entry.listener.pending?.(reason === "None" ? "in the queue" : reason);
  const what = remedy(reason);
  if (what !== undefined) entry.listener.log("warning", `Slurm ${job} waits (${reason}): ${what}`);
}

function saySuspended(entry: Entry, { job, node, state }: ElementState): void {
  const reason = state === "SUSPENDED" || state === "STOPPED" ? state : "";
  if (reason !== "" && reason !== entry.reason) {
    entry.listener.log("warning", `Slurm has suspended ${job} on ${node}: it goes on when Slurm resumes it`);
  }
  entry.reason = reason;
}
