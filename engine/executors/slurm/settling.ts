import { unreachable } from "../../model/result.ts";
import type { StepEnd } from "../../model/submission.ts";
import type { ExecutionOutcome } from "../types.ts";
import type { Cancels } from "./cancels.ts";
import type { Desk } from "./desk.ts";
import type { Ended } from "./follow.ts";
import { judge, lossOf } from "./judge.ts";
import { verdictOnWarning } from "./policy.ts";
import type { Queue } from "./queue.ts";
import type { Submission } from "./types.ts";

/** Takes what a worker wrote when its step ended. */
export async function conclude(desk: Desk, queue: Queue, { end, entry, place }: Ended): Promise<void> {
  const { index, submission } = place;
  if (end.answer.kind !== "cancelled" || entry.cancelled) {
    desk.end(entry, outcomeOf(end), place);
  } else if (end.told === "time") {
    const loss = await lossOf({ ...place, entry, checkpoints: desk.checkpoints(entry) }, undefined);
    await desk.lose(entry, place, verdictOnWarning(loss));
  } else if (end.told === "end") {
    submission.stopped.add(index);
    queue.hurry();
  } else {
    await desk.lose(entry, place, { kind: "again", why: "an earlier run had stopped it", advanced: true });
  }
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
    if (silent) sayWhy(submission, `the Slurm controller does not answer: ${firstLine(silent.said)}`);
    if (silent || !view) continue;
    const elements = view.submissions.get(submission.token);
    const [known] = elements?.values() ?? [];
    if (known) submission.standing = { kind: "accepted", job: known.job };
    await judgeSubmission(submission, options);
    cancels.spare(submission, elements);
  }
}

async function judgeSubmission(submission: Submission, options: JudgingOptions): Promise<void> {
  const { desk, grace, queue } = options;
  if (submission.standing.kind === "unsent" || !queue.view) return;
  for (const [index, entry] of submission.entries) {
    const place = { submission, index };
    const checkpoints = desk.checkpoints(entry);
    const judgement = await judge({ ...place, entry, view: queue.view, grace, checkpoints });
    switch (judgement.kind) {
      case "patience":
        break;
      case "lost":
        await desk.lose(entry, place, judgement.verdict);
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

function sayWhy({ entries }: Submission, reason: string): void {
  for (const entry of entries.values()) {
    if (entry.reason === reason) continue;
    entry.reason = reason;
    entry.listener.pending?.(reason);
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
