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
  const known = knownIndices(labels);
  const order = known.toSorted((a, b) => (scores[a] as number) - (scores[b] as number));
  let positives = 0;
  let rankSum = 0;
  for (let start = 0; start < order.length;) {
    const score = scores[order[start] as number];
    let end = start;
    let tiedPositives = 0;
    while (end < order.length && scores[order[end] as number] === score) {
      if (labels[order[end] as number] === 1) tiedPositives++;
      end++;
    }
    // Tied samples share the mean of the ranks start + 1 ... end.
    rankSum += (tiedPositives * (start + 1 + end)) / 2;
    positives += tiedPositives;
    start = end;
  }
  const negatives = order.length - positives;
  if (positives === 0 || negatives === 0) return null;
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/** Indices of the samples whose label is known. */
export function knownIndices(labels: ArrayLike<BinaryLabel>): number[] {
  const indices: number[] = [];
  for (let i = 0; i < labels.length; i++) if (labels[i] === 0 || labels[i] === 1) indices.push(i);
  return indices;
}
