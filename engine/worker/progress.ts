import type { StepProgress } from "../sdk.ts";

/** One message of progress, ready to be sent. */
export interface ProgressUpdate {
  readonly done: number;
  readonly total: number;
  readonly unit?: string;
  readonly series?: Readonly<Record<string, number>>;
}

/** About ten updates a second are all an eye can use. */
const interval = 100;

/**
 * A `progress` that nodes may call freely: the first call goes out at once, then the latest of every interval.
 * `flush` sends what is held back, so that the last state always arrives.
 */
export function throttledProgress(send: (update: ProgressUpdate) => void): {
  readonly progress: StepProgress;
  readonly flush: () => void;
} {
  let held: ProgressUpdate | undefined;
  let sentAt = -Infinity;
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (!held) return;
    const update = held;
    held = undefined;
    sentAt = performance.now();
    send(update);
  };
  return {
    progress(done, total, series, unit) {
      held = {
        done,
        total,
        ...(unit !== undefined && { unit }),
        ...(series && { series: finite(series) }),
      };
      const wait = interval - (performance.now() - sentAt);
      if (wait <= 0) flush();
      else timer ??= setTimeout(flush, wait).unref();
    },
    flush,
  };
}

/** JSON has no NaN: a diverged loss is left out of the series rather than sent as null. */
function finite(series: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(series).filter(([, value]) => Number.isFinite(value)));
}
