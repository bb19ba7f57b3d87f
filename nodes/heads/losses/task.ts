import { zeros, type Matrix } from "../matrix.ts";

/** Value of a task loss and its gradient with respect to the logits. */
export interface TaskLoss {
  readonly value: number;
  readonly dLogits: Matrix;
}

/**
 * Mean binary cross-entropy with logits over the (sample, label) entries that are known. METHOD 8.1.
 *
 * @param logits [n, K]
 * @param labels [n, K] row-major: 1, 0, or -1 for unknown
 * @returns 0 with a zero gradient where nothing is known
 */
export function binaryCrossEntropy(logits: Matrix, labels: ArrayLike<number>): TaskLoss {
  const dLogits = zeros(logits.rows, logits.cols);
  let known = 0;
  let sum = 0;
  for (let t = 0; t < logits.data.length; t++) {
    const y = labels[t] as number;
    if (y < 0) continue;
    const x = logits.data[t] as number;
    known++;
    // log(1 + e^x) - y x and 1 / (1 + e^-x) - y, arranged so that e never overflows.
    const e = Math.exp(-Math.abs(x));
    sum += Math.max(x, 0) - x * y + Math.log1p(e);
    dLogits.data[t] = (x >= 0 ? 1 : e) / (1 + e) - y;
  }
  if (known === 0) return { value: 0, dLogits };
  for (let t = 0; t < dLogits.data.length; t++) dLogits.data[t] = (dLogits.data[t] as number) / known;
  return { value: sum / known, dLogits };
}

/**
 * Mean softmax cross-entropy. METHOD 8.1.
 *
 * @param logits [n, K]
 * @param classes [n] index of the right class
 */
export function softmaxCrossEntropy(logits: Matrix, classes: ArrayLike<number>): TaskLoss {
  const { rows, cols, data } = logits;
  const dLogits = zeros(rows, cols);
  let sum = 0;
  for (let i = 0; i < rows; i++) {
    const start = i * cols;
    let max = -Infinity;
    for (let k = 0; k < cols; k++) max = Math.max(max, data[start + k] as number);
    let total = 0;
    for (let k = 0; k < cols; k++) total += Math.exp((data[start + k] as number) - max);
    const right = start + (classes[i] as number);
    sum += Math.log(total) + max - (data[right] as number);
    for (let k = 0; k < cols; k++) {
      dLogits.data[start + k] = Math.exp((data[start + k] as number) - max) / total / rows;
    }
    dLogits.data[right] = (dLogits.data[right] as number) - 1 / rows;
  }
  return { value: sum / rows, dLogits };
}

/**
 * Binary cross-entropy of each class against the rest, summed over the classes and averaged over samples: the mean
 * times K, as METER trains visual question answering. METHOD 9.
 *
 * @param logits [n, K]
 * @param classes [n] index of the right class
 */
export function oneHotCrossEntropy(logits: Matrix, classes: ArrayLike<number>): TaskLoss {
  const { cols, rows } = logits;
  const labels = new Uint8Array(rows * cols);
  for (let i = 0; i < rows; i++) labels[i * cols + (classes[i] as number)] = 1;
  const { dLogits, value } = binaryCrossEntropy(logits, labels);
  for (let t = 0; t < dLogits.data.length; t++) dLogits.data[t] = (dLogits.data[t] as number) * cols;
  return { value: value * cols, dLogits };
}

/** 1 / (1 + e^-x), without overflow on either side. */
export function sigmoid(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}
