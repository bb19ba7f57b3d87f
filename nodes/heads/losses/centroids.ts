import { rowOf, zeros, type Matrix } from "../matrix.ts";
import type { ClassSets } from "./class-sets.ts";

/** Class centroids; a class that was never seen has none and takes no part. */
export interface Centroids {
  /** [k, d] */
  readonly values: Matrix;
  readonly valid: readonly boolean[];
}

/** Centroids computed from a batch, and what their gradient with respect to the batch's points needs. */
export interface BatchCentroids extends Centroids {
  /** d centroid_k / d point_i for each member i of class k; 0 where the class is absent. */
  readonly share: Float64Array;
}

/** Mean of each class's points; classes absent from the batch are not valid. */
export function batchCentroids(points: Matrix, sets: ClassSets): BatchCentroids {
  const { sums, counts } = classSums(points, sets);
  const share = counts.map((count) => (count > 0 ? 1 / count : 0));
  for (let t = 0; t < sums.data.length; t++) {
    sums.data[t] = (sums.data[t] as number) * (share[Math.floor(t / sums.cols)] as number);
  }
  return { values: sums, valid: Array.from(counts, (count) => count > 0), share };
}

/**
 * Moves running centroids towards the batch's: c <- m c + (1 - m) mean. A class absent from the batch keeps its
 * centroid; one met for the first time takes the batch's. METHOD 8.2 and 15.
 */
export function movedCentroids(
  previous: Centroids,
  points: Matrix,
  sets: ClassSets,
  momentum: number,
): BatchCentroids {
  const batch = batchCentroids(points, sets);
  const { rows, cols } = batch.values;
  const values = zeros(rows, cols);
  const share = new Float64Array(rows);
  for (let k = 0; k < rows; k++) {
    const present = batch.valid[k] === true;
    const kept = !present ? 1 : previous.valid[k] === true ? momentum : 0;
    share[k] = (1 - kept) * (batch.share[k] as number);
    for (let t = k * cols; t < (k + 1) * cols; t++) {
      values.data[t] =
        kept * (previous.values.data[t] as number) + (1 - kept) * (batch.values.data[t] as number);
    }
  }
  return { values, valid: batch.valid.map((present, k) => present || previous.valid[k] === true), share };
}

/** Spreads a gradient on computed centroids over the points they are means of. */
export function centroidsBackward(centroids: BatchCentroids, sets: ClassSets, dCentroids: Matrix): Matrix {
  const { cols } = dCentroids;
  const dPoints = zeros(sets.samples.length, cols);
  sets.samples.forEach(({ own }, i) => {
    const dPoint = rowOf(dPoints, i);
    for (const k of own) {
      const share = centroids.share[k] as number;
      const dCentroid = rowOf(dCentroids, k);
      for (let t = 0; t < cols; t++) {
        dPoint[t] = (dPoint[t] as number) + share * (dCentroid[t] as number);
      }
    }
  });
  return dPoints;
}

function classSums(points: Matrix, sets: ClassSets): { sums: Matrix; counts: Float64Array } {
  const sums = zeros(sets.classes, points.cols);
  const counts = new Float64Array(sets.classes);
  sets.samples.forEach(({ own }, i) => {
    const point = rowOf(points, i);
    for (const k of own) {
      counts[k] = (counts[k] as number) + 1;
      const sum = rowOf(sums, k);
      for (let t = 0; t < sum.length; t++) sum[t] = (sum[t] as number) + (point[t] as number);
    }
  });
  return { sums, counts };
}
