import type { Grid, StepInput } from "../model/grid.ts";

/** Milliseconds assumed for a step of a node type that was never timed. */
const unknownDuration = 1_000;

/**
 * Longest remaining path of each step, in ms: its own expected duration, and the longest of the paths behind it.
 *
 * @param expected milliseconds a node type takes by recorded durations; undefined where unknown
 */
export function remainingTimes(grid: Grid, expected: (nodeType: string) => number | undefined): Float64Array {
  const durations = new Map<string, number>();
  const durationOf = (type: string): number => {
    const known = durations.get(type) ?? expected(type) ?? unknownDuration;
    durations.set(type, known);
    return known;
  };
  // Filled backwards: in topological order, everything behind a step has been counted when its turn comes.
  const remaining = new Float64Array(grid.steps.length);
  for (let index = grid.steps.length - 1; index >= 0; index--) {
    const step = grid.steps[index];
    if (!step) continue;
    const total = (remaining[index] ?? 0) + durationOf(step.nodeType.type);
    remaining[index] = total;
    for (const name of step.reads) {
      for (const upstream of upstreamOf(step.inputs[name])) {
        remaining[upstream] = Math.max(remaining[upstream] ?? 0, total);
      }
    }
    for (const shard of step.shards ?? []) remaining[shard] = Math.max(remaining[shard] ?? 0, total);
  }
  return remaining;
}

/** Indices of the steps that an input comes from. */
export function upstreamOf(input: StepInput | undefined): readonly number[] {
  if (!input) return [];
  return input.kind === "one" ? [input.step] : input.items.map((item) => item.step);
}
