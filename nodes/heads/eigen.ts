import { EigenvalueDecomposition, Matrix as DenseMatrix } from "ml-matrix";
import { zeros, type Matrix } from "./matrix.ts";

/** Eigenvalues, largest first, with their unit eigenvectors as columns. */
export interface Eigen {
  readonly values: Float64Array;
  /** [n, n], column k belongs to value k. */
  readonly vectors: Matrix;
}

/**
 * Eigen-decomposition of a symmetric matrix, in double precision.
 *
 * @param symmetric [n, n]
 */
export function symmetricEigen(symmetric: Matrix): Eigen {
  const n = symmetric.rows;
  const dense = DenseMatrix.from1DArray(n, n, symmetric.data);
  const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(dense, {
    assumeSymmetric: true,
  });
  const order = realEigenvalues
    .map((_, i) => i)
    .toSorted((i, j) => realEigenvalues[j]! - realEigenvalues[i]!);
  const vectors = zeros(n, n);
  order.forEach((from, to) => {
    for (let i = 0; i < n; i++) vectors.data[i * n + to] = eigenvectorMatrix.get(i, from);
  });
  return { values: Float64Array.from(order, (i) => realEigenvalues[i]!), vectors };
}
