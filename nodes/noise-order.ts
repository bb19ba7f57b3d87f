import { randomStream } from "./random.ts";

/**
 * The order in which records become noisy at growing ratios: one seeded permutation of the clean ids, so that the
 * noisy sets of 5, 10, 20 and 30 % are prefixes of each other (METHOD 6). `noise.mix` and both attacks share it.
 *
 * @returns ids, first to become noisy first
 */
export function noiseOrder(ids: readonly string[], seed: number): string[] {
  return randomStream(seed, "noise-order").shuffle(ids);
}

/** How many of `total` records are noisy at `percent`. */
export function noisyCount(total: number, percent: number): number {
  return Math.round((percent * total) / 100);
}
