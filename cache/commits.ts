import { isCommitEcho } from "./errors.ts";

/** Writes of one LMDB environment, handed over one commit at a time. */
export interface Commits {
  /**
   * Queues writes, with others that come before the next commit; resolves when they are on the disk. Rejects with the
   * cause where they are not: from then on, nothing is handed to LMDB any more.
   */
  add(queue: () => readonly PromiseLike<unknown>[]): Promise<void>;
  /** True once a commit has failed. */
  failed(): boolean;
}

interface Failure {
  readonly cause: unknown;
}

interface Waiting {
  readonly queue: () => readonly PromiseLike<unknown>[];
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
      const failures = await Promise.all(batch.map(({ queue }) => failed ?? failureOf(queue)));
      failed ??= failures.find((failure) => failure !== undefined);
      for (const [i, { settle }] of batch.entries()) settle(failures[i]);
    }
    atWork = false;
  };

  return {
    add: (queue) =>
      new Promise((resolve, reject) => {
        const settle = (failure: Failure | undefined): void => (failure ? reject(failure.cause) : resolve());
        waiting = [...waiting, { queue, settle }];
        if (atWork) return;
        atWork = true;
        // What the same turn brings goes together.
        queueMicrotask(() => void work());
      }),
    failed: () => failed !== undefined,
  };
}

async function failureOf(queue: Waiting["queue"]): Promise<Failure | undefined> {
  const causes = await Promise.all(
    queue().map((write) => Promise.resolve(write).then(() => undefined, commitCause)),
  );
  return causes.find((cause) => cause !== undefined);
}

/** lmdb's "Commit failed" carries the true error as a promise that rejects. */
async function commitCause(reason: unknown): Promise<Failure> {
  if (!isCommitEcho(reason)) return { cause: reason };
  let timer: NodeJS.Timeout | undefined;
  try {
    // It comes right after; should it not, the outer error has to do.
    await Promise.race([reason.commitError, new Promise((resolve) => (timer = setTimeout(resolve, 2000)))]);
    return { cause: reason };
  } catch (cause) {
    return { cause };
  } finally {
    clearTimeout(timer);
  }
}
