import { isCommitEcho } from "./errors.ts";

/** Writes that belong together. */
export interface Writes {
  /** What must have happened before they are handed over; where that fails, they are not. */
  readonly before?: (() => Promise<void>) | undefined;
  readonly queue: () => readonly PromiseLike<unknown>[];
}

/** Writes of one LMDB environment, handed over one commit at a time. */
export interface Commits {
  /**
   * Queues writes, with others that come before the next commit; resolves when they are on the disk. Rejects with the
   * cause where they are not; after a commit that failed, nothing is handed to LMDB any more.
   */
  add(writes: Writes): Promise<void>;
  /** True once a commit has failed. */
  failed(): boolean;
}

interface Failure {
  readonly cause: unknown;
}

interface Waiting extends Writes {
  readonly settle: (failure: Failure | undefined) => void;
}

/**
 * LMDB would queue commits by itself. But after one that failed (a disk that broke or turned read-only), it neither
 * makes nor refuses the next one: who waits for it waits for ever, and nobody else gets at its lock.
 */
export function openCommits(): Commits {
  let waiting: readonly Waiting[] = [];
  let atWork = false;
  let failed: Failure | undefined;

  const work = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      const unready = await Promise.all(batch.map(({ before }) => failureOf(async () => before?.())));
      const hand = async ({ queue }: Writes, i: number): Promise<Failure | undefined> =>
        failed ?? unready[i] ?? failureOf(() => commit(queue));
      const failures = await Promise.all(batch.map(hand));
      failed ??= failures.find((failure, i) => failure !== undefined && unready[i] === undefined);
      for (const [i, { settle }] of batch.entries()) settle(failures[i]);
    }
    atWork = false;
  };

  return {
    add: (writes) =>
      new Promise((resolve, reject) => {
        const settle = (failure: Failure | undefined): void => (failure ? reject(failure.cause) : resolve());
        waiting = [...waiting, { ...writes, settle }];
        if (atWork) return;
        atWork = true;
        // What the same turn brings goes together.
        queueMicrotask(() => void work());
      }),
    failed: () => failed !== undefined,
  };
}

function failureOf(doing: () => Promise<void>): Promise<Failure | undefined> {
  return doing().then(
    () => undefined,
    (cause: unknown) => ({ cause }),
  );
}

/** Hands writes over, all in this turn. */
async function commit(queue: Writes["queue"]): Promise<void> {
  await Promise.all(queue().map((write) => Promise.resolve(write).catch(throwCause)));
}

/** lmdb's "Commit failed" carries the true error as a promise that rejects. */
async function throwCause(reason: unknown): Promise<never> {
  if (!isCommitEcho(reason)) throw reason;
  let timer: NodeJS.Timeout | undefined;
  // It comes right after; should it not, the outer error has to do.
  const inTime = new Promise((resolve) => (timer = setTimeout(resolve, 2000)));
  await Promise.race([reason.commitError, inTime]).finally(() => clearTimeout(timer));
  throw reason;
}
