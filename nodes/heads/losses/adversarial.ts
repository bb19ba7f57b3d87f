import { addScaled, rowOf, normalizeRows, normalizeRowsBackward, zeros, type Matrix } from "../matrix.ts";
import {
  batchCentroids,
  centroidsBackward,
  movedCentroids,
  type BatchCentroids,
  type Centroids,
} from "./centroids.ts";
import type { ClassSets } from "./class-sets.ts";

/** The readings of L_ADV that METHOD 8.2 leaves open. */
export interface AdversarialOptions {
  /** Distances between unit vectors; otherwise between the vectors as they are. */
  readonly normalize: boolean;
  /** Distances beyond this push no further; undefined for no bound. */
  readonly cap?: number | undefined;
  /** Weight of the attraction to the own centroid (PCL's other half). */
  readonly proxWeight: number;
}

/** Where centroids come from: running or plain class means, or vectors that are trained themselves. */
export type CentroidSource =
  | { readonly kind: "ema_mean"; readonly previous: Centroids; readonly momentum: number }
  | { readonly kind: "batch_mean" }
  /** `learned` centroids or the rows of the linear classifier: they take the gradient themselves. */
  | { readonly kind: "given"; readonly centroids: Centroids };

export interface AdversarialLoss {
  readonly value: number;
  /** [n, d] with respect to the points. */
  readonly dPoints: Matrix;
  /** [k, d] with respect to given centroids; undefined for computed ones, whose gradient is in `dPoints`. */
  readonly dCentroids?: Matrix;
  /** The centroids that were used: for `ema_mean`, the next step's previous ones. */
  readonly centroids: Centroids;
}

/** Keeps arccos away from the ends, where its slope is infinite. */
const cosineLimit = 1 - 1e-6;

/**
 * L_ADV = -(1/n) sum_i [ mean_{j in N_i} |z_i - c_j| + mean_{(a, j)} arccos(c_a . c_j) ] + prox (1/n) sum_i |z_i - c_own|
 *
 * drives samples away from other classes' centroids and centroids away from each other. METHOD 8.2, with the readings
 * of sections 8.2 and 15: n counts the samples that take part.
 *
 * @param points [n, d] the head's features Z, or the frozen F
 * @param sets which classes each sample belongs to and is pushed from
 */
export function adversarialLoss(
  points: Matrix,
  sets: ClassSets,
  source: CentroidSource,
  options: AdversarialOptions,
): AdversarialLoss {
  const normalized = options.normalize ? normalizeRows(points) : undefined;
  const z = normalized?.unit ?? points;
  const computed = computedCentroids(z, sets, source);
  const centroids = source.kind === "given" ? source.centroids : (computed as BatchCentroids);
  const unitCentroids = normalizeRows(centroids.values);
  const c = options.normalize ? unitCentroids.unit : centroids.values;

  const weights = pushWeights(sets, centroids.valid, options.proxWeight);
  const dPoints = zeros(points.rows, points.cols);
  const dDistance = zeros(c.rows, c.cols);
  const dAngle = zeros(c.rows, c.cols);
  const value =
    pushDistances(z, c, weights.distance, options.cap, dPoints, dDistance) +
    widenAngles(unitCentroids.unit, weights.angle, dAngle);

  const dCentroids = zeros(c.rows, c.cols);
  if (options.normalize) addScaled(dAngle, dDistance, 1);
  else addScaled(dCentroids, dDistance, 1);
  addScaled(dCentroids, normalizeRowsBackward(unitCentroids.unit, unitCentroids.norms, dAngle), 1);

  if (computed) addScaled(dPoints, centroidsBackward(computed, sets, dCentroids), 1);
  return {
    value,
    dPoints: normalized ? normalizeRowsBackward(normalized.unit, normalized.norms, dPoints) : dPoints,
    ...(source.kind === "given" && { dCentroids }),
    centroids,
  };
}

function computedCentroids(z: Matrix, sets: ClassSets, source: CentroidSource): BatchCentroids | undefined {
  switch (source.kind) {
    case "ema_mean":
      return movedCentroids(source.previous, z, sets, source.momentum);
    case "batch_mean":
      return batchCentroids(z, sets);
    case "given":
      return undefined;
  }
}

/** Weight of each distance (negative: pushed, positive: drawn) and of each angle in the loss. */
interface PushWeights {
  /** [n, k] */
  readonly distance: Matrix;
  /** [k, k] */
  readonly angle: Matrix;
}

function pushWeights(sets: ClassSets, valid: readonly boolean[], proxWeight: number): PushWeights {
  const k = sets.classes;
  const distance = zeros(sets.samples.length, k);
  const angle = zeros(k, k);
  const usable = sets.samples.map(({ own, others, pairs }) => ({
    own: own.filter((a) => valid[a]),
    others: own.length > 0 ? others.filter((j) => valid[j]) : [],
    pairs: pairs.filter(([a, j]) => valid[a] && valid[j]),
  }));
  const taking = usable.filter(({ others }) => others.length > 0).length;
  usable.forEach(({ own, others, pairs }, i) => {
    if (others.length === 0) return;
    for (const j of others) distance.data[i * k + j] = -1 / (taking * others.length);
    for (const a of own) distance.data[i * k + a] = proxWeight / (taking * own.length);
    for (const [a, j] of pairs) {
      angle.data[a * k + j] = (angle.data[a * k + j] as number) - 1 / (taking * pairs.length);
    }
  });
  return { distance, angle };
}

/** Sum of weighted distances; adds the gradients. The hinge `cap` bounds pushes, not attractions. */
function pushDistances(
  z: Matrix,
  c: Matrix,
  weights: Matrix,
  cap: number | undefined,
  dZ: Matrix,
  dC: Matrix,
): number {
  const d = z.cols;
  const difference = new Float64Array(d);
  let value = 0;
  for (let i = 0; i < z.rows; i++) {
    const zRow = rowOf(z, i);
    const dzRow = rowOf(dZ, i);
    for (let j = 0; j < c.rows; j++) {
      const weight = weights.data[i * c.rows + j] as number;
      if (weight === 0) continue;
      const cRow = rowOf(c, j);
      let squares = 0;
      for (let t = 0; t < d; t++) {
        const apart = (zRow[t] as number) - (cRow[t] as number);
        difference[t] = apart;
        squares += apart * apart;
      }
      const distance = Math.sqrt(squares);
      if (weight < 0 && cap !== undefined && distance > cap) {
        value += weight * cap;
        continue;
      }
      value += weight * distance;
      if (distance === 0) continue;
      const slope = weight / distance;
      const dcRow = rowOf(dC, j);
      for (let t = 0; t < d; t++) {
        const pull = slope * (difference[t] as number);
        dzRow[t] = (dzRow[t] as number) + pull;
        dcRow[t] = (dcRow[t] as number) - pull;
      }
    }
  }
  return value;
}

/** Sum of weighted angles between unit centroids; adds the gradient. */
function widenAngles(unit: Matrix, weights: Matrix, dUnit: Matrix): number {
  const { rows: k, cols: d } = unit;
  let value = 0;
  for (let a = 0; a < k; a++) {
    for (let j = a + 1; j < k; j++) {
      // The angle is the same in both directions.
      const weight = (weights.data[a * k + j] as number) + (weights.data[j * k + a] as number);
      if (weight === 0) continue;
      const [aRow, jRow] = [rowOf(unit, a), rowOf(unit, j)];
      let cosine = 0;
      for (let t = 0; t < d; t++) cosine += (aRow[t] as number) * (jRow[t] as number);
      const clamped = Math.min(Math.max(cosine, -cosineLimit), cosineLimit);
      value += weight * Math.acos(clamped);
      if (clamped !== cosine) continue;
      const slope = -weight / Math.sqrt(1 - cosine * cosine);
      const [daRow, djRow] = [rowOf(dUnit, a), rowOf(dUnit, j)];
      for (let t = 0; t < d; t++) {
        daRow[t] = (daRow[t] as number) + slope * (jRow[t] as number);
        djRow[t] = (djRow[t] as number) + slope * (aRow[t] as number);
      }
    }
  }
  return value;
}
