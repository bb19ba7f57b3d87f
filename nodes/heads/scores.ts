import { sigmoid } from "./losses/task.ts";
import type { Matrix } from "./matrix.ts";
import type { HeadTask } from "./objective.ts";

/** Probabilities from logits [N, K]: a sigmoid per label, or a softmax over the classes. */
export function probabilities(logits: Matrix, task: HeadTask): Matrix {
  const { rows, cols } = logits;
  const data = new Float64Array(logits.data.length);
  for (let i = 0; i < rows; i++) {
    const row = logits.data.subarray(i * cols, (i + 1) * cols);
    data.set(task === "multi-label" ? Float64Array.from(row, sigmoid) : softmax(row), i * cols);
  }
  return { rows, cols, data };
}

function softmax(row: Float32Array | Float64Array): Float64Array {
  let max = -Infinity;
  for (const x of row) max = Math.max(max, x);
  const powers = Float64Array.from(row, (x) => Math.exp(x - max));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
