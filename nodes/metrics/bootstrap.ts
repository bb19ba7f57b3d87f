import { z } from "zod";
import type { MetricsRecord } from "../formats.ts";
import { randomStream } from "../random.ts";

const confidence = z.number().gt(0).lt(1).default(0.95).meta({
  unit: "ratio",
  description: "share of the resamples that an interval holds",
  neutral: 0.95,
});

/**
 * Parameters of a node that gives its measures confidence intervals.
 *
 * @param resamples how many unless told
 */
export function bootstrapParams(resamples: number): {
  readonly bootstrap: z.ZodDefault<z.ZodNumber>;
  readonly confidence: typeof confidence;
} {
  const bootstrap = z.int().min(0).max(100_000).default(resamples).meta({
    description: "resamples of the items for confidence intervals; 0 for none",
    neutral: 0,
  });
  return { bootstrap, confidence };
}

/**
 * Percentile intervals of measures over items (Efron 1979): each resample draws as many items as there are, with
 * replacement. A resample at which a measure has no value counts for the others only.
 *
 * @param count number of items
 * @param measure the measures where item i counts `weights[i]` times; the array is reused
 * @returns `NAMELow` and `NAMEHigh` of each measure, null where no resample has a value; nothing without resamples
 */
export function bootstrapIntervals<Name extends string>(
  count: number,
  measure: (weights: Uint32Array) => Readonly<Record<Name, number | null>>,
  {
    bootstrap,
    confidence,
    seed,
  }: { readonly bootstrap: number; readonly confidence: number; readonly seed: number },
): MetricsRecord {
  const values = new Map<string, number[]>();
  const random = randomStream(seed, "bootstrap");
  const weights = new Uint32Array(count);
  for (let resample = 0; count > 0 && resample < bootstrap; resample++) {
    weights.fill(0);
    for (let draw = 0; draw < count; draw++) weights[random.int(count)]! += 1;
    for (const [name, value] of Object.entries<number | null>(measure(weights))) {
      const sofar = values.get(name) ?? [];
      if (value !== null) sofar.push(value);
      values.set(name, sofar);
    }
  }
  const tail = (1 - confidence) / 2;
  return Object.fromEntries(
    [...values].flatMap(([name, found]) => {
      const sorted = Float64Array.from(found).toSorted();
      return [
        [`${name}Low`, quantile(sorted, tail)],
        [`${name}High`, quantile(sorted, 1 - tail)],
      ];
    }),
  );
}

/** The quantile between the two nearest values, linearly (Hyndman and Fan's type 7, as numpy has it). */
function quantile(sorted: Float64Array, share: number): number | null {
  if (sorted.length === 0) return null;
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (at - below) * (high - low);
}
