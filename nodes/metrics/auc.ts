/** A binary label; anything but 0 and 1 means unknown, and its sample is left out. */
export type BinaryLabel = number | null | undefined;

/**
 * Area under the ROC curve by the rank statistic of Mann and Whitney: the share of (positive, negative) pairs in which
 * the positive scores higher, a tie counting one half. METHOD 10.1.
 *
 * @param scores one finite score per sample, any monotone scale
 * @param labels 0 or 1 per sample; others are left out
 * @returns in [0, 1]; null where only one class occurs
 */
export function rocAuc(scores: ArrayLike<number>, labels: ArrayLike<BinaryLabel>): number | null {
  return weightedAuc(scores, labels)();
}

/**
 * `rocAuc` where sample i counts `weights[i]` times, for resamples: the scores are sorted once.
 *
 * @returns a function of the weights, which are whole numbers; without them each sample counts once
 */
export function weightedAuc(
  scores: ArrayLike<number>,
  labels: ArrayLike<BinaryLabel>,
): (weights?: ArrayLike<number>) => number | null {
  const order = knownIndices(labels).toSorted((a, b) => (scores[a] as number) - (scores[b] as number));
  return (weights) => {
    let positives = 0;
    let negatives = 0;
    // Pairs in which the positive scores higher, ties counting one half: halves of whole numbers, exact in a double.
    let ordered = 0;
    for (let at = 0; at < order.length;) {
      const score = scores[order[at] as number];
      let tiedPositives = 0;
      let tiedNegatives = 0;
      for (; at < order.length && scores[order[at] as number] === score; at++) {
        const index = order[at] as number;
        const weight = weights === undefined ? 1 : (weights[index] as number);
        if (labels[index] === 1) tiedPositives += weight;
        else tiedNegatives += weight;
      }
      ordered += tiedPositives * (negatives + tiedNegatives / 2);
      positives += tiedPositives;
      negatives += tiedNegatives;
    }
    return positives === 0 || negatives === 0 ? null : ordered / (positives * negatives);
  };
}

/** Indices of the samples whose label is known. */
export function knownIndices(labels: ArrayLike<BinaryLabel>): number[] {
  const indices: number[] = [];
  for (let i = 0; i < labels.length; i++) if (labels[i] === 0 || labels[i] === 1) indices.push(i);
  return indices;
}
