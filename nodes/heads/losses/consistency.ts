import { normalizeRows, normalizeRowsBackward, zeros, type Matrix } from "../matrix.ts";
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
  const { unit, norms } = normalizeRows(z);
  const target = normalizeRows(f).unit;
  const count = reduction === "mean_all" ? z.rows * z.cols : z.rows;
  const dUnit = zeros(z.rows, z.cols);
  let sum = 0;
  for (let t = 0; t < unit.data.length; t++) {
    const difference = (unit.data[t] as number) - (target.data[t] as number);
    sum += difference * difference;
    dUnit.data[t] = (2 * difference) / count;
  }
  return { value: sum / count, dZ: normalizeRowsBackward(unit, norms, dUnit) };
}
