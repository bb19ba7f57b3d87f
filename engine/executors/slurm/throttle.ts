import { unreachable } from "../../model/result.ts";
import type { Sent } from "./send.ts";

/** How much is given to Slurm, and how often: a controller serves everybody. */
export interface Throttle {
  /** Steps of one array. */
  most(): number;
  maySend(): boolean;
  /** @param count how many steps there were */
  sent(how: Sent["kind"], count: number): void;
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
  let limit = largest;
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
    sent(how, count) {
      recent = [...recent, now()];
      const half = Math.max(1, Math.floor(Math.min(most, count) / 2));
      switch (how) {
        case "accepted":
          // There may be room for more again.
          most = Math.min(2 * most, limit);
          pause = 0;
          return;
        case "rejected":
          pause = 0;
          return;
        case "large":
          most = limit = half;
          return;
        case "full":
          most = half;
          break;
        case "unknown":
          break;
        default:
          unreachable(how);
      }
      pause = Math.min(Math.max(firstPause, 2 * pause), longestPause);
      notBefore = now() + pause;
    },
  };
}
