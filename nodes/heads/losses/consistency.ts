import { rowNorm, zeros, type Matrix } from "../matrix.ts";
import type { FeatureLoss } from "./types.ts";

/** `mean_over_batch_sum_dim` is the paper's squared norm; `mean_all` is torch's MSELoss, smaller by 1/d. */
export type MseReduction = "mean_over_batch_sum_dim" | "mean_all";

/**
 * L_MSE = |F^ - Z^|^2, rows normalised, F detached: keeps the head's features near the pre-trained ones. METHOD 8.2.
 *
 * @param z [n, d] features after the head's MLP
 * @param f [n, d] frozen features
 */
export function consistencyLoss(z: Matrix, f: Matrix, reduction: MseReduction): FeatureLoss {
  const { cols, rows } = z;
  const count = reduction === "mean_all" ? rows * cols : rows;
  const dZ = zeros(rows, cols);
  let sum = 0;
  for (let i = 0; i < rows; i++) {
    const [zScale, fScale] = [1 / rowNorm(z, i), 1 / rowNorm(f, i)];
    const [start, end] = [i * cols, (i + 1) * cols];
    let along = 0; // <Z^, Z^ - F^>
    for (let t = start; t < end; t++) {
      const unit = (z.data[t] as number) * zScale;
      const difference = unit - (f.data[t] as number) * fScale;
      dZ.data[t] = difference;
      sum += difference * difference;
      along += unit * difference;
    }
    const slope = (2 * zScale) / count;
    for (let t = start; t < end; t++) {
      dZ.data[t] = slope * ((dZ.data[t] as number) - (z.data[t] as number) * zScale * along);
    }
  }
  return { value: sum / count, dZ };
}
