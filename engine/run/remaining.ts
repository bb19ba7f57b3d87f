import type { Grid, Step, StepInput } from "../model/grid.ts";

/** Milliseconds assumed for a step of a kind that was never timed. */
const unknownDuration = 1_000;

/**
 * Longest remaining path of each step, in ms: its own expected duration, and the longest of the paths behind it.
 *
 * @param expected milliseconds a step takes, 0 for one that need not run; undefined where unknown
 */
export function remainingTimes(grid: Grid, expected: (step: number) => number | undefined): Float64Array {
  // Filled backwards: in topological order, everything behind a step has been counted when its turn comes.
  const remaining = new Float64Array(grid.steps.length);
  for (let index = grid.steps.length - 1; index >= 0; index--) {
    const total = (remaining[index] ?? 0) + (expected(index) ?? unknownDuration);
    remaining[index] = total;
    for (const before of stepsBefore(grid.steps[index] as Step)) {
      remaining[before] = Math.max(remaining[before] ?? 0, total);
    }
  }
  return remaining;
}

/** Steps that must be done before a step can start. */
function* stepsBefore({ inputs, reads, shards = [] }: Step): Iterable<number> {
  for (const name of reads) yield* upstreamOf(inputs[name]);
  yield* shards;
}

/** Indices of the steps that an input comes from. */
function upstreamOf(input: StepInput | undefined): readonly number[] {
  if (!input) return [];
  return input.kind === "one" ? [input.step] : input.items.map((item) => item.step);
}
