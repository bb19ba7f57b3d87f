import { createHash } from "node:crypto";

/** A seeded stream of random numbers. */
export interface Random {
  /** Uniform in [0, 1), 32 bits of it. */
  next(): number;
  /** Uniform integer in [0, n). */
  int(n: number): number;
  /** Fills an array with numbers in [-bound, bound): those that `next` would give, in a quarter of the time. */
  uniform(into: Float32Array, bound: number): void;
  /** Standard normal (Box-Muller). */
  normal(): number;
  /** One item of a non-empty list. */
  pick<T>(items: readonly T[]): T;
  /** A new array in random order (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[];
  /** State to continue from, for checkpoints. */
  state(): readonly number[];
}

/**
 * The stream of (seed, purpose, item): independent of every other such triple, and of the order in which
 * streams are used. The generator is sfc32 (C. Doty-Humphrey), seeded by SHA-256.
 *
 * @param seed the step's seed
 * @param purpose what the numbers are for, for instance `init` or `order`
 * @param item id of the item they are for, where there is one
 */
export function randomStream(seed: number, purpose: string, item: string | number = ""): Random {
  const hash = createHash("sha256")
    .update(JSON.stringify(["ranflow/random/1", seed, purpose, String(item)]))
    .digest();
  const words = [0, 4, 8, 12].map((offset) => hash.readUInt32LE(offset));
  return randomFromState(words);
}

/** Continues a stream from a saved `state()`. */
export function randomFromState(state: readonly number[]): Random {
  let [a = 0, b = 0, c = 0, d = 0] = state;
  const next32 = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  const next = (): number => next32() / 2 ** 32;
  const int = (n: number): number => Math.floor(next() * n);
  return {
    next,
    int,
    uniform: (into, bound) => {
      for (let i = 0; i < into.length; i++) into[i] = ((2 * next32()) / 2 ** 32 - 1) * bound;
    },
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    pick: (items) => {
      if (items.length === 0) throw new Error("internal error: pick from an empty list");
      return items[int(items.length)] as (typeof items)[number];
    },
    shuffle: (items) => {
      const result = [...items];
      for (let i = result.length - 1; i > 0; i--) {
        const j = int(i + 1);
        [result[i], result[j]] = [result[j] as (typeof result)[number], result[i] as (typeof result)[number]];
      }
      return result;
    },
    state: () => [a, b, c, d],
  };
}
