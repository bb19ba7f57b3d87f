/** Work that is done again and again, never twice at once. */
export interface Loop {
  /** The next round begins after so many ms, or sooner where that was asked for. */
  wake(delay: number): void;
  /** Resolves when no round goes on any more; none begins again. */
  stop(): Promise<void>;
}

/** @param round resolves to the ms until the next round; undefined where only `wake` begins one */
export function createLoop(round: () => Promise<number | undefined>): Loop {
  let timer: NodeJS.Timeout | undefined;
  let due = Number.POSITIVE_INFINITY;
  let going: Promise<void> | undefined;
  let stopped = false;

  const turn = async (): Promise<void> => {
    due = Number.POSITIVE_INFINITY;
    const next = await round();
    going = undefined;
    if (next !== undefined) wake(next);
    else if (due < Number.POSITIVE_INFINITY) arm();
  };
  const arm = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => (going = turn()), Math.max(0, due - Date.now()));
  };
  const wake = (delay: number): void => {
    if (stopped) return;
    due = Math.min(due, Date.now() + delay);
    // A round that goes on looks at `due` when it ends.
    if (!going) arm();
  };
  return {
    wake,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await going;
      clearTimeout(timer);
    },
  };
}
