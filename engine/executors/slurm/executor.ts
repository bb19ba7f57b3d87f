import { taggedHash } from "../../../cache/hash.ts";
import type { JsonObject } from "../../model/json.ts";
import { submissionsFolder } from "../../model/submission.ts";
import type { Answerer, Execution, ExecutionOutcome, Executor, StepRequest } from "../types.ts";
import { createCancels } from "./cancels.ts";
import { runCommand } from "./commands.ts";
import type { RunCommand } from "./commands.ts";
import { createDesk } from "./desk.ts";
import { openExisting } from "./existing.ts";
import { follow } from "./follow.ts";
import { createLoop } from "./loop.ts";
import { isUnsent, placeWaiting, submit } from "./placing.ts";
import { createQueue, defaultPace } from "./queue.ts";
import type { QueuePace } from "./queue.ts";
import { conclude, judgeAll } from "./settling.ts";
import { createThrottle } from "./throttle.ts";
import type { Entry, Submission } from "./types.ts";

export interface SlurmExecutorOptions {
  readonly storeRoot: string;
  /** URLs of modules that export `library`; the nodes of the cluster find them at the same place. */
  readonly libraryUrls: readonly string[];
  readonly answer: Answerer;
  /** Milliseconds in which what a node wrote comes to be seen here. */
  readonly grace?: number;
  readonly pace?: QueuePace;
  /** How Slurm's commands are run. */
  readonly run?: RunCommand;
}

const defaultGrace = 30_000;
/** Milliseconds for which requests are gathered into an array. */
const gather = 100;
/** Milliseconds between two looks at the shared folder: after something was heard, and at most. */
const shortestLook = 200;
const longestLook = 2_000;

/**
 * Runs steps by Slurm. Driver and workers speak through a folder of the store that all nodes share. The truth about a
 * step is the file that its worker leaves; the queue is asked only about steps that have left none.
 */
export function createSlurmExecutor(options: SlurmExecutorOptions): Executor {
  const { answer, grace = defaultGrace, libraryUrls, pace = defaultPace, run = runCommand } = options;
  const desk = createDesk(options.storeRoot);
  const existing = openExisting(submissionsFolder(options.storeRoot));
  const queue = createQueue(run, pace);
  const cancels = createCancels(run);
  const throttle = createThrottle();
  let wait = shortestLook;
  // Commands of Slurm go on beside the rounds: a controller that is slow or away holds nothing else up.
  let submitting: Promise<void> | undefined;
  let tidying: Promise<void> | undefined;
  let asking = false;
  /** The queue was looked at, and nothing was made of it yet. */
  let answered = false;

  const round = async (): Promise<number | undefined> => {
    try {
      await placeWaiting({ desk, existing, throttle, libraryUrls });
      submitNext();
      // Results are read after the queue was: a step that had ended by then has left its own.
      const looked = answered;
      const heard = await readAll();
      wait = heard ? shortestLook : Math.min(wait * 1.2, longestLook);
      if (looked) {
        answered = false;
        await judgeAll({ desk, queue, cancels, grace });
      }
      askQueue();
      tidying ??= tidy()
        .catch(complain)
        .then(() => (tidying = undefined));
    } catch (error) {
      // The shared folder is away for a moment, or full: all that can be done is to look again.
      complain(error as Error);
      wait = longestLook;
    }
    return desk.entries.size > 0 || desk.submissions.size > 0 ? wait : undefined;
  };
  const loop = createLoop(round);

  const submitNext = (): void => {
    const next = [...desk.submissions.values()].find(isUnsent);
    if (submitting || !next || !throttle.maySend()) return;
    submitting = submit(next, { desk, run, throttle })
      .catch(complain)
      .then(() => {
        submitting = undefined;
        loop.wake(0);
      });
  };

  const askQueue = (): void => {
    if (asking || answered) return;
    asking = true;
    const open = [...desk.submissions.values()].filter(({ entries }) => entries.size > 0);
    void queue.look(open.map(({ token }) => token)).then((looked) => {
      asking = false;
      answered ||= looked;
      if (looked) loop.wake(0);
    });
  };

  const readAll = async (): Promise<boolean> => {
    let heard = false;
    for (const submission of desk.submissions.values()) {
      // What nobody waits for may be gone.
      if (submission.entries.size === 0) continue;
      const news = await follow(submission, answer);
      heard ||= news.heard;
      for (const ended of news.ended) await conclude(desk, queue, ended);
    }
    return heard;
  };

  /** Off the desk, and not removed yet. */
  const leaving = new Set<Submission>();
  /** Takes out of the queue what nobody waits for, and removes submissions of which nothing else is left. */
  const tidy = async (last = false): Promise<void> => {
    for (const submission of desk.submissions.values()) {
      const { claims, count, entries, files, kept, standing, token } = submission;
      if (entries.size + kept.size > 0 || standing.kind === "sending") continue;
      const others = (await files.requests()).size > 0;
      // Somebody has joined it meanwhile.
      if (entries.size > 0) continue;
      desk.submissions.delete(token);
      if (others) continue;
      const began = new Set([...claims.values()].map(({ element }) => element));
      if (began.size < count && standing.kind !== "unsent") cancels.addAll(submission);
      leaving.add(submission);
    }
    await cancels.flush(last);
    for (const submission of leaving) {
      await submission.files.remove();
      leaving.delete(submission);
    }
  };

  const complain = ({ message }: Error): void => {
    for (const entry of desk.entries) {
      if (entry.reason === message) continue;
      entry.reason = message;
      entry.listener.log("warning", `cannot work in the shared folder, and tries again: ${message}`);
    }
  };

  const cancel = async (entry: Entry, how: "checkpoint" | "now"): Promise<void> => {
    entry.cancelled = how;
    const { state } = entry;
    if (state.kind === "ended") return;
    if (state.kind === "waiting") return desk.endCancelled(entry);
    const { index, submission } = state;
    const { files } = submission;
    await files.tell(index, { kind: "cancel", request: index, how });
    await files.drop(index, entry.id);
    const claim = await files.claim(index);
    // It saves, and says when it has ended.
    if (claim && how === "checkpoint") return;
    submission.entries.delete(index);
    cancels.add(submission, claim?.element ?? index);
    loop.wake(0);
    await desk.endCancelled(entry);
  };

  const takings = new Set<Promise<void>>();
  const taken = async ({ id, state }: Entry): Promise<void> => {
    const kept = state.kind === "ended" ? state.kept : undefined;
    if (!kept) return;
    await kept.submission.files.drop(kept.index, id);
    kept.submission.kept.delete(kept.index);
    loop.wake(gather);
  };

  return {
    execute(request, placement, listener): Execution {
      if (request.kind !== "run" || !placement.slurm) {
        throw new Error("internal error: Slurm was given what is not for it");
      }
      const { promise, resolve: settle } = Promise.withResolvers<ExecutionOutcome>();
      const entry: Entry = {
        id: identityOf(request),
        request: { ...request, request: 0 },
        shape: { ...placement.slurm, threads: placement.threads },
        listener,
        settle,
        state: { kind: "waiting" },
        cancelled: undefined,
        losses: 0,
        memory: 0,
        remembers: false,
        reason: "",
      };
      desk.entries.add(entry);
      queue.hurry();
      loop.wake(gather);
      return {
        outcome: promise,
        cancel: (how) => void cancel(entry, how).catch(complain),
        taken() {
          const taking = taken(entry).catch(complain);
          takings.add(taking);
          void taking.then(() => takings.delete(taking));
        },
      };
    },
    async close() {
      await loop.stop();
      await Promise.all([submitting, tidying, ...takings]);
      // What cannot be removed now is removed by `cache gc`.
      await tidy(true).catch(() => {});
    },
  };
}

/** The same for every driver that wants the same done: what a step is called, and when it saves, is no part of it. */
function identityOf(request: Extract<StepRequest, { kind: "run" }>): string {
  const { checkpointMinutes: _, step: __, ...rest } = request;
  return taggedHash("ranflow/slurm-step/1", JSON.parse(JSON.stringify(rest)) as JsonObject);
}
