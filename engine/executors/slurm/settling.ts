import { unreachable } from "../../model/result.ts";
import type { StepEnd } from "../../model/submission.ts";
import type { ExecutionOutcome } from "../types.ts";
import type { Cancels } from "./cancels.ts";
import type { Desk } from "./desk.ts";
import type { Ended } from "./follow.ts";
import { hasAdvanced, judge, lossOf } from "./judge.ts";
import type { AttemptOptions } from "./judge.ts";
import { savedInTime, verdictOn } from "./policy.ts";
import type { Queue } from "./queue.ts";
import type { Entry, Place, Submission } from "./types.ts";

/** Takes what a worker wrote when its step ended. */
export async function conclude(desk: Desk, queue: Queue, { end, entry, place }: Ended): Promise<void> {
  const { index, submission } = place;
  if (end.answer.kind !== "cancelled" || entry.cancelled) {
    desk.end(entry, outcomeOf(end), place);
  } else if (end.told) {
    if (end.told === "time" && (await hasAdvanced(attempt(desk, entry, place)))) {
      await desk.lose(entry, place, savedInTime);
    } else {
      submission.stopped.set(index, end.told);
      queue.hurry();
    }
  } else if (submission.forgotten.has(index)) {
    await desk.lose(entry, place, verdictOn(await lossOf(attempt(desk, entry, place), undefined)));
  } else {
    await desk.lose(entry, place, { kind: "again", why: "an earlier run had stopped it", advanced: true });
  }
}

function attempt(desk: Desk, entry: Entry, place: Place): AttemptOptions {
  return { ...place, entry, checkpoints: desk.checkpoints(entry), lostRecords: desk.lostRecords };
}

export interface JudgingOptions {
  readonly desk: Desk;
  readonly queue: Queue;
  readonly cancels: Cancels;
  readonly grace: number;
}

/** Goes through what waits, after a look at the queue. */
export async function judgeAll(options: JudgingOptions): Promise<void> {
  const { cancels, desk, queue } = options;
  const { silent, view } = queue;
  for (const submission of desk.submissions.values()) {
    if (silent) saySilent(submission, silent.said);
    if (silent || !view?.asked.has(submission.token)) continue;
    const elements = view.submissions.get(submission.token);
    const [known] = elements?.values() ?? [];
    if (known) submission.standing = { kind: "accepted", job: known.job };
    await judgeSubmission(submission, options);
    cancels.spare(submission, elements);
  }
}

async function judgeSubmission(submission: Submission, options: JudgingOptions): Promise<void> {
  const { desk, grace, queue } = options;
  const { standing } = submission;
  if (standing.kind === "unsent" || standing.kind === "sending" || !queue.view) return;
  for (const [index, entry] of submission.entries) {
    const place = { submission, index };
    const judgement = await judge({ ...attempt(desk, entry, place), view: queue.view, grace });
    switch (judgement.kind) {
      case "patience":
        break;
      case "lost":
        await desk.lose(entry, place, judgement.verdict);
        break;
      case "forgotten":
        // No second worker begins before the first one has said that it ends, or had time enough for that.
        desk.lostRecords = true;
        submission.forgotten.add(index);
        submission.missing.delete(index);
        await submission.files.tell(index, { kind: "cancel", request: index, how: "now" });
        break;
      case "unsent":
        // Nobody has begun with it. Should Slurm have it after all, the second array finds the first one's claims.
        submission.standing = { kind: "unsent" };
        submission.missing.clear();
        return;
      default:
        unreachable(judgement);
    }
  }
}

/** What waits cannot begin now. What runs goes on, and one of it says so. */
function saySilent({ claims, entries }: Submission, said: string): void {
  const reason = `the Slurm controller does not answer: ${firstLine(said)}`;
  let told = false;
  for (const [index, entry] of entries) {
    const runs = claims.has(index);
    if (entry.reason !== reason && !runs) entry.listener.pending?.(reason);
    if (entry.reason !== reason && runs && !told) entry.listener.log("warning", reason);
    told ||= runs;
    entry.reason = reason;
  }
}

function outcomeOf({ answer }: StepEnd): ExecutionOutcome {
  switch (answer.kind) {
    case "scanned":
      throw new Error("internal error: a worker of a cluster has scanned");
    case "done":
    case "failed":
    case "cancelled":
      return answer;
    default:
      return unreachable(answer);
  }
}

function firstLine(text: string): string {
  return text.replace(/^\w+: (error: )?/, "").split("\n", 1)[0] ?? "";
}
