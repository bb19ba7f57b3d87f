import type { Step } from "../model/grid.ts";
import { upstreamOf } from "./fingerprint.ts";

/** Which steps of a grid read which. */
export interface Links {
  /** Steps whose outputs a step reads at its parameters, in ascending order, each once. */
  upstream(step: number): Int32Array;
  /** Steps that read a step's outputs, in ascending order, each once. */
  readers(step: number): Int32Array;
}

/**
 * The links of a grid's steps: for each direction one array with the neighbours of all steps after one another, and
 * one that says where those of each step begin.
 */
export function linksOf(steps: readonly Step[]): Links {
  const count = steps.length;
  const upstreamStart = new Int32Array(count + 1);
  const readersStart = new Int32Array(count + 1);
  let upstream = new Int32Array(Math.max(16, 2 * count));
  let end = 0;
  steps.forEach((step, index) => {
    const read = upstreamOf(step);
    if (end + read.length > upstream.length) {
      const larger = new Int32Array(Math.max(2 * upstream.length, end + read.length));
      larger.set(upstream);
      upstream = larger;
    }
    upstream.set(read, end);
    end += read.length;
    upstreamStart[index + 1] = end;
    for (const from of read) readersStart[from + 1] = (readersStart[from + 1] ?? 0) + 1;
  });
  for (let i = 0; i < count; i++) readersStart[i + 1] = (readersStart[i + 1] ?? 0) + (readersStart[i] ?? 0);

  const readers = new Int32Array(end);
  const filled = readersStart.slice();
  for (let reader = 0; reader < count; reader++) {
    for (const from of neighbours(upstream, upstreamStart, reader)) {
      const place = filled[from] ?? 0;
      readers[place] = reader;
      filled[from] = place + 1;
    }
  }
  return {
    upstream: (step) => neighbours(upstream, upstreamStart, step),
    readers: (step) => neighbours(readers, readersStart, step),
  };
}

/** For each step that makes a share of the items of another: the index of that one, where the grid has it. */
export function joinsOf(steps: readonly Step[]): ReadonlyMap<number, number> {
  const joins = new Map<number, number>();
  for (const [index, { shards }] of steps.entries())
    for (const shard of shards ?? []) joins.set(shard, index);
  return joins;
}

function neighbours(all: Int32Array, start: Int32Array, step: number): Int32Array {
  return all.subarray(start[step], start[step + 1]);
}
