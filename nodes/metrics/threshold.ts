import { knownIndices, type BinaryLabel } from "./auc.ts";

/** How a label's decision threshold is found; the fitted rules look at validation data only. */
export type ThresholdRule = "0.5" | "youden_val" | "best_acc_val";

/** A threshold and what it achieves on the data it was fitted on: Youden's J, or the accuracy. */
export interface FittedThreshold {
  readonly threshold: number;
  readonly objective: number;
}

/**
 * The threshold that maximises Youden's J = sensitivity + specificity - 1. Candidates are the scores themselves, since
 * a score equal to the threshold counts as positive; of equally good ones the highest is taken.
 *
 * @returns undefined where only one class occurs: there is nothing to fit
 */
export function youdenThreshold(
  scores: ArrayLike<number>,
  labels: ArrayLike<BinaryLabel>,
): FittedThreshold | undefined {
  return sweep(scores, labels, {
    score: (tp, fp, p, n) => tp * n - fp * p,
    scale: (p, n) => p * n,
  });
}

/** The threshold that maximises accuracy; see `youdenThreshold` for candidates, ties and one-class labels. */
export function accuracyThreshold(
  scores: ArrayLike<number>,
  labels: ArrayLike<BinaryLabel>,
): FittedThreshold | undefined {
  return sweep(scores, labels, {
    score: (tp, fp, _p, n) => tp + n - fp,
    scale: (p, n) => p + n,
  });
}

/** What is maximised, as a whole number over a scale, so that equally good thresholds compare as equal. */
interface Objective {
  score(truePositives: number, falsePositives: number, positives: number, negatives: number): number;
  scale(positives: number, negatives: number): number;
}

/** Lowers the threshold from the highest score to the lowest, one group of tied samples after the other. */
function sweep(
  scores: ArrayLike<number>,
  labels: ArrayLike<BinaryLabel>,
  objective: Objective,
): FittedThreshold | undefined {
  const order = knownIndices(labels).toSorted((a, b) => (scores[b] as number) - (scores[a] as number));
  const positives = order.filter((i) => labels[i] === 1).length;
  const negatives = order.length - positives;
  if (positives === 0 || negatives === 0) return undefined;
  let best: { readonly threshold: number; readonly score: number } | undefined;
  let truePositives = 0;
  let falsePositives = 0;
  for (let next = 0; next < order.length;) {
    const threshold = scores[order[next] as number] as number;
    while (next < order.length && scores[order[next] as number] === threshold) {
      if (labels[order[next] as number] === 1) truePositives++;
      else falsePositives++;
      next++;
    }
    const score = objective.score(truePositives, falsePositives, positives, negatives);
    if (!best || score > best.score) best = { threshold, score };
  }
  return best && { threshold: best.threshold, objective: best.score / objective.scale(positives, negatives) };
}
