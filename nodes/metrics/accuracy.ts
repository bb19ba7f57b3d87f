import { knownIndices, type BinaryLabel } from "./auc.ts";

/**
 * Share of samples on the right side of the threshold; a score equal to it counts as positive (METHOD 15).
 *
 * @returns in [0, 1]; null where no label is known
 */
export function binaryAccuracy(
  scores: ArrayLike<number>,
  labels: ArrayLike<BinaryLabel>,
  threshold: number,
): number | null {
  const known = knownIndices(labels);
  if (known.length === 0) return null;
  let right = 0;
  for (const i of known) if (((scores[i] as number) >= threshold ? 1 : 0) === labels[i]) right++;
  return right / known.length;
}

/**
 * Share of rows whose largest score belongs to the right class; the first of equal scores counts.
 *
 * @param scores row-major [N, K]
 * @param classes index of the right class per row
 */
export function argmaxAccuracy(
  scores: ArrayLike<number>,
  classes: ArrayLike<number>,
  width: number,
): number | null {
  if (classes.length === 0) return null;
  let right = 0;
  for (let row = 0; row < classes.length; row++) {
    let best = 0;
    for (let k = 1; k < width; k++) {
      if ((scores[row * width + k] as number) > (scores[row * width + best] as number)) best = k;
    }
    if (best === classes[row]) right++;
  }
  return right / classes.length;
}
