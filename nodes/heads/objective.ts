import { multiLabelSets, perLabelBinarySets, singleLabelSets, type ClassSets } from "./losses/class-sets.ts";
import { adversarialLoss, type CentroidSource } from "./losses/adversarial.ts";
import { batchCentroids, type Centroids } from "./losses/centroids.ts";
import { consistencyLoss, type MseReduction } from "./losses/consistency.ts";
import { covarianceLoss } from "./losses/covariance.ts";
import { binaryCrossEntropy, oneHotCrossEntropy, softmaxCrossEntropy, type TaskLoss } from "./losses/task.ts";
import { nmtuneLoss, type SpectralVariant } from "./losses/spectral.ts";
import type { MatrixProduct } from "./losses/types.ts";
import { addScaled, normalizeRows, transpose, zeros, type Matrix } from "./matrix.ts";

/** `multi-label`: labels [N, K] of 1, 0, -1 (unknown). `single-label`: one class index per row, K classes. */
export type HeadTask = "multi-label" | "single-label";

export type CentroidKind = "ema_mean" | "batch_mean" | "learned" | "classifier_weight";

/** RAN's loss, L = L_CE + alpha (L_MSE + L_COV) + beta L_ADV. METHOD 8.2. */
export interface RanOptions {
  readonly alpha: number;
  readonly beta: number;
  readonly useMse: boolean;
  readonly useCov: boolean;
  readonly useAdv: boolean;
  readonly mseReduction: MseReduction;
  readonly advFeature: "z" | "f";
  readonly advNormalize: boolean;
  readonly advCap?: number | undefined;
  readonly centroids: CentroidKind;
  readonly centroidMomentum: number;
  readonly perLabelBinary: boolean;
  readonly includeNoFinding: boolean;
  readonly proxWeight: number;
}

export interface ObjectiveOptions {
  readonly task: HeadTask;
  /** For single-label: binary cross-entropy of each class against the rest, summed, in place of the softmax's. */
  readonly oneHot?: boolean;
  /** K. */
  readonly outputs: number;
  /** Index of a label that itself means No Finding. */
  readonly noFindingLabel?: number | undefined;
  /** At most one of `ran` and `nmtune`; neither for the task loss alone. */
  readonly ran?: RanOptions | undefined;
  readonly nmtune?: { readonly variant: SpectralVariant; readonly lambda: number } | undefined;
}

/** One batch as the objective sees it. */
export interface Batch {
  /** [n, d] frozen features. */
  readonly f: Matrix;
  /** [n, d] the head's features. */
  readonly z: Matrix;
  /** [n, K] */
  readonly logits: Matrix;
  /** [n, K], or [n] for single-label. */
  readonly labels: Int32Array;
}

export interface ObjectiveValue {
  readonly loss: number;
  /** Unweighted terms by name: task, mse, cov, adv. */
  readonly terms: Readonly<Record<string, number>>;
  readonly dLogits: Matrix;
  readonly dZ: Matrix | undefined;
  /** [k, d] with respect to centroids that were given; undefined otherwise. */
  readonly dCentroids: Matrix | undefined;
  /** The centroids used, where L_ADV is. */
  readonly centroids: Centroids | undefined;
}

/** Which classes each sample of a batch belongs to, for L_ADV. */
export function classSets(labels: Int32Array, options: ObjectiveOptions): ClassSets {
  if (options.task === "single-label") return singleLabelSets(labels, options.outputs);
  if (options.ran?.perLabelBinary) return perLabelBinarySets(labels, options.outputs);
  const noFinding = options.ran?.includeNoFinding ? (options.noFindingLabel ?? options.outputs) : undefined;
  return multiLabelSets(labels, options.outputs, noFinding);
}

/**
 * The training loss of one batch with its gradients.
 *
 * @param source where L_ADV's centroids come from; needed where it is used
 */
export function objective(
  batch: Batch,
  options: ObjectiveOptions,
  product: MatrixProduct,
  source: CentroidSource | undefined,
): ObjectiveValue {
  const task = taskLoss(batch, options);
  const terms = { task: task.value };
  const { dLogits } = task;
  if (options.nmtune) {
    const extra = nmtuneLoss(batch.z, batch.f, options.nmtune, product);
    return {
      loss: task.value + extra.value,
      terms: { ...terms, ...extra.terms },
      dLogits,
      dZ: extra.dZ,
      dCentroids: undefined,
      centroids: undefined,
    };
  }
  if (!options.ran) {
    return { loss: task.value, terms, dLogits, dZ: undefined, dCentroids: undefined, centroids: undefined };
  }
  const extra = ranLoss(batch, options, options.ran, product, source);
  return {
    ...extra,
    loss: task.value + extra.loss,
    terms: { ...terms, ...extra.terms },
    dLogits,
  };
}

function taskLoss({ labels, logits }: Batch, { oneHot, task }: ObjectiveOptions): TaskLoss {
  if (task === "multi-label") return binaryCrossEntropy(logits, labels);
  return oneHot ? oneHotCrossEntropy(logits, labels) : softmaxCrossEntropy(logits, labels);
}

/** alpha (L_MSE + L_COV) + beta L_ADV, each where it is used. */
function ranLoss(
  batch: Batch,
  options: ObjectiveOptions,
  ran: RanOptions,
  product: MatrixProduct,
  source: CentroidSource | undefined,
): Omit<ObjectiveValue, "dLogits"> {
  const terms: Record<string, number> = {};
  let loss = 0;
  const dZ = zeros(batch.z.rows, batch.z.cols);
  if (ran.useMse) {
    const mse = consistencyLoss(batch.z, batch.f, ran.mseReduction);
    terms["mse"] = mse.value;
    loss += ran.alpha * mse.value;
    addScaled(dZ, mse.dZ, ran.alpha);
  }
  if (ran.useCov) {
    const cov = covarianceLoss(batch.z, product);
    terms["cov"] = cov.value;
    loss += ran.alpha * cov.value;
    addScaled(dZ, cov.dZ, ran.alpha);
  }
  if (!ran.useAdv) return { loss, terms, dZ, dCentroids: undefined, centroids: undefined };

  if (!source) throw new Error("internal error: L_ADV without a source of centroids");
  const points = ran.advFeature === "z" ? batch.z : batch.f;
  const adv = adversarialLoss(points, classSets(batch.labels, options), source, {
    normalize: ran.advNormalize,
    cap: ran.advCap,
    proxWeight: ran.proxWeight,
  });
  terms["adv"] = adv.value;
  if (ran.advFeature === "z") addScaled(dZ, adv.dPoints, ran.beta);
  let dCentroids: Matrix | undefined;
  if (adv.dCentroids) {
    dCentroids = zeros(adv.dCentroids.rows, adv.dCentroids.cols);
    addScaled(dCentroids, adv.dCentroids, ran.beta);
  }
  return { loss: loss + ran.beta * adv.value, terms, dZ, dCentroids, centroids: adv.centroids };
}

/** Number of centroids L_ADV has under these options. */
export function centroidCount(options: ObjectiveOptions): number {
  return classSets(new Int32Array(0), options).classes;
}

/**
 * Class means over the whole training set, to start running centroids from.
 *
 * @param chunks the head's features with the first row's index, in order, covering all rows
 * @param labelsOf labels of a range of rows
 */
export function initialCentroids(
  chunks: Iterable<{ readonly start: number; readonly z: Matrix }>,
  labelsOf: (start: number, end: number) => Int32Array,
  options: ObjectiveOptions,
): Centroids {
  const classes = centroidCount(options);
  const counts = new Float64Array(classes);
  let sums: Matrix | undefined;
  for (const { start, z } of chunks) {
    const points = options.ran?.advNormalize ? normalizeRows(z).unit : z;
    const means = batchCentroids(points, classSets(labelsOf(start, start + z.rows), options));
    sums ??= zeros(classes, z.cols);
    for (let k = 0; k < classes; k++) {
      if (!means.valid[k]) continue;
      const count = 1 / (means.share[k] as number);
      counts[k] = (counts[k] as number) + count;
      for (let t = k * z.cols; t < (k + 1) * z.cols; t++) {
        sums.data[t] = (sums.data[t] as number) + count * (means.values.data[t] as number);
      }
    }
  }
  if (!sums) throw new Error("internal error: centroids of an empty training set");
  for (let t = 0; t < sums.data.length; t++) {
    sums.data[t] = (sums.data[t] as number) / Math.max(1, counts[Math.floor(t / sums.cols)] as number);
  }
  return { values: sums, valid: Array.from(counts, (count) => count > 0) };
}

/**
 * The classifier's rows as centroids; the No Finding pseudo-class has no row and takes no part.
 *
 * @param weight [d, K], as the head keeps it
 */
export function classifierCentroids(weight: Matrix, classes: number): Centroids {
  const rows = transpose(weight); // [K, d]
  const values = zeros(classes, rows.cols);
  values.data.set(rows.data);
  return { values, valid: Array.from({ length: classes }, (_, k) => k < rows.rows) };
}
