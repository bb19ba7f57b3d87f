import type { BinaryLabel } from "./auc.ts";

/** Per sample: 1 where the prediction is right, 0 where it is wrong, -1 where that is not known. */
export type Verdicts = Int8Array;

/** Whether each score is on its label's side of the threshold; one equal to it counts as positive (METHOD 15). */
export function thresholdVerdicts(
  scores: ArrayLike<number>,
  labels: ArrayLike<BinaryLabel>,
  threshold: number,
): Verdicts {
  return Int8Array.from({ length: labels.length }, (_, i) => {
    const label = labels[i];
    if (label !== 0 && label !== 1) return -1;
    return ((scores[i] as number) >= threshold ? 1 : 0) === label ? 1 : 0;
  });
}

/**
 * Whether the largest score of each row belongs to the right class; the first of equal scores counts.
 *
 * @param scores row-major [N, K]
 * @param classes index of the right class per row, negative where it is not known
 */
export function argmaxVerdicts(
  scores: ArrayLike<number>,
  classes: ArrayLike<number>,
  width: number,
): Verdicts {
  return Int8Array.from({ length: classes.length }, (_, row) => {
    if ((classes[row] as number) < 0) return -1;
    let best = 0;
    for (let k = 1; k < width; k++) {
      if ((scores[row * width + k] as number) > (scores[row * width + best] as number)) best = k;
    }
    return best === classes[row] ? 1 : 0;
  });
}

/**
 * Accuracy: the share of right predictions among those that are known to be right or wrong.
 *
 * @param weights how often each sample counts; once unless told
 * @returns in [0, 1]; null where none is known
 */
export function shareRight(verdicts: Verdicts, weights?: ArrayLike<number>): number | null {
  let right = 0;
  let known = 0;
  for (const [i, verdict] of verdicts.entries()) {
    if (verdict < 0) continue;
    const weight = weights === undefined ? 1 : (weights[i] as number);
    known += weight;
    right += verdict * weight;
  }
  return known === 0 ? null : right / known;
}

/**
 * Share of rows whose largest score belongs to the right class, as `argmaxVerdicts` has it.
 *
 * @returns in [0, 1]; null where no class is known
 */
export function argmaxAccuracy(
  scores: ArrayLike<number>,
  classes: ArrayLike<number>,
  width: number,
): number | null {
  return shareRight(argmaxVerdicts(scores, classes, width));
}
