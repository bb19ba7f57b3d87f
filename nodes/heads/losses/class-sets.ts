/** How the adversarial loss sees a batch: which classes each sample belongs to, and which it is pushed from. */
export interface ClassSets {
  /** Number of centroids. */
  readonly classes: number;
  readonly samples: readonly SampleClasses[];
}

export interface SampleClasses {
  /** Classes whose centroid the sample is part of (and is drawn to, with a proximity term). */
  readonly own: readonly number[];
  /** Classes whose centroid the sample is pushed away from. */
  readonly others: readonly number[];
  /** Pairs of classes whose angle the sample votes to widen. */
  readonly pairs: readonly (readonly [number, number])[];
}

/** Single-label data: a sample's own class against every other. METHOD 8.2. */
export function singleLabelSets(classOf: ArrayLike<number>, classes: number): ClassSets {
  const all = Array.from({ length: classes }, (_, k) => k);
  const samples = Array.from(classOf, (own) => {
    const others = all.filter((k) => k !== own);
    return { own: [own], others, pairs: others.map((k) => [own, k] as const) };
  });
  return { classes, samples };
}

/**
 * Multi-label data: the positives P against the rest N; unknown labels count as not positive. A sample without a
 * positive belongs to the No Finding class where there is one; one without any class or any other class is skipped.
 * METHOD 8.2 and 15.
 *
 * @param labels [n, K] row-major: 1, 0, or -1 for unknown
 * @param noFinding index of the No Finding class: K for a pseudo-class beside the labels, less than K where it is
 *   a label itself, undefined for none
 */
export function multiLabelSets(
  labels: ArrayLike<number>,
  width: number,
  noFinding: number | undefined,
): ClassSets {
  const classes = noFinding === width ? width + 1 : width;
  const samples: SampleClasses[] = [];
  for (let start = 0; start < labels.length; start += width) {
    const own: number[] = [];
    for (let k = 0; k < width; k++) if (labels[start + k] === 1) own.push(k);
    if (own.length === 0 && noFinding !== undefined) own.push(noFinding);
    const others: number[] = [];
    for (let k = 0; k < classes; k++) if (!own.includes(k)) others.push(k);
    samples.push({ own, others, pairs: own.flatMap((a) => others.map((j) => [a, j] as const)) });
  }
  return { classes, samples };
}

/**
 * The alternative with two centroids per label, its positives' (2k) and its negatives' (2k + 1): a sample is pushed
 * from the opposite one of every label that is known. METHOD 15.
 */
export function perLabelBinarySets(labels: ArrayLike<number>, width: number): ClassSets {
  const samples: SampleClasses[] = [];
  for (let start = 0; start < labels.length; start += width) {
    const own: number[] = [];
    const others: number[] = [];
    for (let k = 0; k < width; k++) {
      const label = labels[start + k] as number;
      if (label < 0) continue;
      own.push(2 * k + (label === 1 ? 0 : 1));
      others.push(2 * k + (label === 1 ? 1 : 0));
    }
    samples.push({ own, others, pairs: own.map((a, i) => [a, others[i] as number] as const) });
  }
  return { classes: 2 * width, samples };
}
