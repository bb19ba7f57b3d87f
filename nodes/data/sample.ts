import { randomStream } from "../random.ts";

export interface SampleOptions {
  /** Share of the items to keep, (0, 1]. */
  readonly fraction: number;
  /** Keep at most so many, the first ones. */
  readonly limit: number | null;
  readonly seed: number;
}

/**
 * A part of a dataset in its own order: of n items a random round(fraction n), at least one, and of those the first
 * `limit`. For one seed, a smaller fraction is a part of a larger one.
 */
export function sample<T>(items: readonly T[], { fraction, limit, seed }: SampleOptions): readonly T[] {
  let kept = items;
  if (fraction < 1 && items.length > 0) {
    const count = Math.max(1, Math.round(fraction * items.length));
    const order = randomStream(seed, "fraction").shuffle(items.map((_, index) => index));
    const chosen = order.slice(0, count).toSorted((a, b) => a - b);
    kept = chosen.map((index) => items[index] as T);
  }
  return limit === null ? kept : kept.slice(0, limit);
}

/**
 * Deals items out at random into parts of the given shares; every item lands in exactly one part, and the parts'
 * sizes are the shares, rounded.
 *
 * @param shares per part, adding up to 1
 * @returns the number of each item's part
 */
export function partition(count: number, shares: readonly number[], seed: number): Uint8Array {
  const parts = new Uint8Array(count);
  const order = randomStream(seed, "split").shuffle(Array.from({ length: count }, (_, index) => index));
  let share = 0;
  let from = 0;
  shares.forEach((part, number) => {
    share += part;
    const to = number === shares.length - 1 ? count : Math.round(share * count);
    for (; from < to; from++) parts[order[from]!] = number;
  });
  return parts;
}
