import { transpose, zeros, type Matrix } from "../matrix.ts";
import type { FeatureLoss, MatrixProduct } from "./types.ts";

/**
 * L_COV = (1/d) sum_{i != j} C_ij^2 with C the covariance of the features over the batch (VICReg; METHOD 8.2).
 *
 * C is never formed: with centred rows X and their n x n Gram matrix G = X X^T, the sum over all of C^2 is
 * |G|^2 / (n-1)^2 and X C = G X / (n-1), which for n < d costs n/d of the direct way.
 *
 * @param z [n, d]
 * @returns 0 with a zero gradient for n < 2
 */
export function covarianceLoss(z: Matrix, product: MatrixProduct): FeatureLoss {
  const { rows: n, cols: d } = z;
  const dZ = zeros(n, d);
  if (n < 2) return { value: 0, dZ };
  const centred = centreColumns(z);
  const variances = new Float64Array(d);
  for (let i = 0, t = 0; i < n; i++) {
    for (let j = 0; j < d; j++, t++) {
      variances[j] = (variances[j] as number) + (centred.data[t] as number) ** 2 / (n - 1);
    }
  }
  const gram = product(centred, transpose(centred)); // [n, n]
  const projected = product(gram, centred); // [n, d]
  let squares = 0;
  for (const g of gram.data) squares += (g / (n - 1)) ** 2;
  for (const variance of variances) squares -= variance ** 2;
  // The gradient's columns already sum to zero, so that centring passes it on unchanged.
  const factor = 4 / (d * (n - 1));
  for (let i = 0, t = 0; i < n; i++) {
    for (let j = 0; j < d; j++, t++) {
      const offDiagonal =
        (projected.data[t] as number) / (n - 1) - (centred.data[t] as number) * (variances[j] as number);
      dZ.data[t] = factor * offDiagonal;
    }
  }
  return { value: squares / d, dZ };
}

/** Subtracts each column's mean. */
export function centreColumns(z: Matrix): Matrix {
  const { rows, cols, data } = z;
  const means = new Float64Array(cols);
  const centred = new Float32Array(data.length);
  for (let i = 0, t = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++, t++) means[j] = (means[j] as number) + (data[t] as number) / rows;
  }
  for (let i = 0, t = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++, t++) centred[t] = (data[t] as number) - (means[j] as number);
  }
  return { rows, cols, data: centred };
}
