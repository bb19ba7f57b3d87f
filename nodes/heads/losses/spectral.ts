import { symmetricEigen } from "../eigen.ts";
import { addScaled, zeros, type Matrix } from "../matrix.ts";
import { consistencyLoss } from "./consistency.ts";
import { covarianceLoss } from "./covariance.ts";
import type { FeatureLoss, MatrixProduct } from "./types.ts";

/** `paper`: -s_1 / sum s. `code`: -mean(s_1 ... s_5) / sum s, as in NMTune's repository. METHOD 8.3. */
export type SpectralVariant = "paper" | "code";

/** Singular values below this have no stable direction and take no part in the gradient. */
const minSingularValue = 1e-6;

/**
 * L_SVD of NMTune: the negative share of the leading singular values of the batch. Singular vectors come from the
 * eigen-decomposition of the n x n Gram matrix: with Z = U S V^T, d s_k / dZ = u_k v_k^T and v_k = Z^T u_k / s_k.
 *
 * @param z [n, d]
 */
export function spectralLoss(z: Matrix, variant: SpectralVariant, product: MatrixProduct): FeatureLoss {
  const { rows: n, cols: d } = z;
  const gram = zeros(n, n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let dot = 0;
      for (let t = 0; t < d; t++) dot += (z.data[i * d + t] as number) * (z.data[j * d + t] as number);
      gram.data[i * n + j] = dot;
      gram.data[j * n + i] = dot;
    }
  }
  const { values, vectors } = symmetricEigen(gram);
  const singular = Array.from(values, (value) => Math.sqrt(Math.max(value, 0)));
  const leading = Math.min(variant === "paper" ? 1 : 5, n, d);
  const sum = singular.slice(0, Math.min(n, d)).reduce((total, s) => total + s, 0);
  const dZ = zeros(n, d);
  if (sum < minSingularValue) return { value: 0, dZ };
  const top = singular.slice(0, leading).reduce((total, s) => total + s, 0) / leading;

  // dL/dZ = sum_k g_k u_k v_k^T = M Z with M = sum_k (g_k / s_k) u_k u_k^T.
  const mixing = zeros(n, n);
  singular.slice(0, Math.min(n, d)).forEach((s, k) => {
    if (s < minSingularValue) return;
    const slope = top / sum ** 2 - (k < leading ? 1 / (leading * sum) : 0);
    for (let i = 0; i < n; i++) {
      const left = (slope / s) * (vectors.data[i * n + k] as number);
      for (let j = 0; j < n; j++) {
        mixing.data[i * n + j] =
          (mixing.data[i * n + j] as number) + left * (vectors.data[j * n + k] as number);
      }
    }
  });
  addScaled(dZ, product(mixing, z), 1);
  return { value: -top / sum, dZ };
}

/**
 * NMTune's regulariser: `paper` lambda (L_MSE + L_COV + L_SVD); `code`, with the repository's weights,
 * L_MSE (mean_all) + 0.04 L_COV + 0.001 L_SVD (code). METHOD 8.3.
 */
export function nmtuneLoss(
  z: Matrix,
  f: Matrix,
  options: { readonly variant: SpectralVariant; readonly lambda: number },
  product: MatrixProduct,
): FeatureLoss & { readonly terms: Readonly<Record<"mse" | "cov" | "svd", number>> } {
  const { variant, lambda } = options;
  const paper = variant === "paper";
  const mse = consistencyLoss(z, f, paper ? "mean_over_batch_sum_dim" : "mean_all");
  const cov = covarianceLoss(z, product);
  const svd = spectralLoss(z, variant, product);
  const weights = paper ? { mse: lambda, cov: lambda, svd: lambda } : { mse: 1, cov: 0.04, svd: 0.001 };
  const dZ = zeros(z.rows, z.cols);
  addScaled(dZ, mse.dZ, weights.mse);
  addScaled(dZ, cov.dZ, weights.cov);
  addScaled(dZ, svd.dZ, weights.svd);
  return {
    value: weights.mse * mse.value + weights.cov * cov.value + weights.svd * svd.value,
    dZ,
    terms: { mse: mse.value, cov: cov.value, svd: svd.value },
  };
}
