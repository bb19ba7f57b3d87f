import type { Sent } from "./send.ts";

/** How much is given to Slurm, and how often: a controller serves everybody. */
export interface Throttle {
  /** Steps of one array. */
  most(): number;
  maySend(): boolean;
  sent(how: Sent["kind"]): void;
}

/** Clusters take arrays of 1,001 elements unless they say otherwise. */
const largest = 1_000;
/** Submissions a minute, beyond which they wait. */
const perMinute = 10;
const firstPause = 5_000;
const longestPause = 60_000;

/** @param now milliseconds; a clock for tests */
export function createThrottle(now: () => number = Date.now): Throttle {
  let most = largest;
  let pause = 0;
  let notBefore = 0;
  let recent: readonly number[] = [];
  const maySend = (): boolean => {
    recent = recent.filter((at) => now() - at < 60_000);
    return now() >= notBefore && recent.length < perMinute;
  };
  return {
    most: () => most,
    maySend,
    sent(how) {
      recent = [...recent, now()];
      if (how === "accepted" || how === "rejected") {
        pause = 0;
        return;
      }
      pause = Math.min(Math.max(firstPause, 2 * pause), longestPause);
      notBefore = now() + pause;
      if (how === "full") most = Math.max(1, Math.floor(most / 2));
    },
  };
}
