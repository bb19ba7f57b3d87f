import { setTimeout as delay } from "node:timers/promises";
import { answerTo } from "../answer.ts";
import type { Answerer } from "../types.ts";
import type { DriverMessage } from "../../model/protocol.ts";
import type { StepEnd, WorkerLine } from "../../model/submission.ts";
import { unreachable } from "../../model/result.ts";
import type { Entry, Place, Submission } from "./types.ts";

/** Milliseconds until an answer that could not be written is tried again. */
const tellAgain = 2_000;

/** An end that a worker wrote. */
export interface Ended {
  readonly entry: Entry;
  readonly place: Place;
  readonly end: StepEnd;
}

/**
 * Takes in what the workers of a submission have written since the last time: says what is heard of steps, answers
 * questions, and finds which have ended.
 */
export async function follow(
  submission: Submission,
  answer: Answerer,
): Promise<{ readonly heard: boolean; readonly ended: readonly Ended[] }> {
  const { claims, entries, files, stopped } = submission;
  // In this order: a worker says all it has to say before it says that the step has ended.
  const done = await files.ended();
  let heard = false;
  for (const [index, claim] of await files.newClaims()) {
    claims.set(index, claim);
    const entry = entries.get(index);
    if (!entry) continue;
    heard = true;
    entry.listener.started(claim.element, claim);
    entry.reason = "";
  }
  const running = [...entries].filter(([index]) => claims.has(index));
  await Promise.all(
    running.map(async ([index, entry]) => {
      for (const line of await files.newLines(index)) {
        heard = true;
        if (line.kind === "ask") {
          entry.remembers ||= line.question.what === "memo-put";
          // An earlier driver may have answered; the worker takes the first answer and no other.
          void answerTo(answer, line.ask, line.question).then((message) =>
            deliver(submission, index, message),
          );
        } else {
          pass(line, entry);
        }
      }
    }),
  );
  const ended = await Promise.all(
    running
      .filter(([index]) => done.has(index) && !stopped.has(index))
      .map(async ([index, entry]) => ({ entry, place: { submission, index }, end: await files.end(index) })),
  );
  return { heard: heard || ended.length > 0, ended };
}

/** A shared folder that is full or away for a moment must not cost a worker its answer. */
async function deliver({ entries, files }: Submission, index: number, message: DriverMessage): Promise<void> {
  while (entries.has(index)) {
    try {
      return await files.tell(index, message);
    } catch {
      await delay(tellAgain);
    }
  }
}

function pass(line: Exclude<WorkerLine, { kind: "ask" }>, entry: Entry): void {
  const { listener } = entry;
  switch (line.kind) {
    case "progress":
      return listener.progress(line);
    case "log":
      return listener.log(line.level, line.message);
    case "output":
      return listener.output(line.line);
    case "memory":
      entry.memory = Math.max(entry.memory, line.bytes);
      return;
    case "ready":
    case "scanned":
    case "done":
    case "failed":
    case "cancelled":
      // Over files, these have a file of their own.
      return;
    default:
      unreachable(line);
  }
}
