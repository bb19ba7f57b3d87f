import type { Matrix } from "../matrix.ts";

/** Value of a loss on features and its gradient with respect to them. */
export interface FeatureLoss {
  readonly value: number;
  /** [n, d] */
  readonly dZ: Matrix;
}

/** A product of two matrices, as the compute backend does it: [n, m] x [m, k] -> [n, k]. */
export type MatrixProduct = (a: Matrix, b: Matrix) => Matrix;
