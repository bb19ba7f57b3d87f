import type { HeadWeights } from "../heads/head.ts";
import type { Journal } from "../heads/journal.ts";
import type { VqaTraining } from "./checkpoint.ts";
import type { FusionValues } from "./model.ts";

const fusionPrefix = "fusion/";

/** Fusion and head by name, as the journal keeps them of the best epoch. */
export function epochWeights({ fusion, head }: VqaTraining): ReadonlyMap<string, Float32Array> {
  return new Map([
    ...head.head.weights(),
    ...[...fusion.values()].map(([name, data]) => [fusionPrefix + name, data] as const),
  ]);
}

/** The best epoch's fusion and head; undefined where epochs were not compared. */
export function bestEpoch({
  best,
}: Journal): { readonly fusion: FusionValues; readonly head: HeadWeights } | undefined {
  if (!best) return undefined;
  const fusion = new Map<string, Float32Array>();
  const head = new Map<string, Float32Array>();
  for (const [name, data] of best.weights) {
    if (name.startsWith(fusionPrefix)) fusion.set(name.slice(fusionPrefix.length), data);
    else head.set(name, data);
  }
  return { fusion, head };
}
