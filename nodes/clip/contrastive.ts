import type { Ops, Tensor } from "../nn/ops.ts";

/** A matrix whose rows are divided by their length, with what the way back needs. */
export interface NormalisedRows {
  /** [B, D], rows of length 1. */
  readonly unit: Tensor;
  /** [B, 1]: 1 / length. */
  readonly inverseLength: Tensor;
}

/** Rows of x [B, D] divided by their Euclidean length. */
export function normaliseRows(ops: Ops, x: Tensor): NormalisedRows {
  return ops.tidy(() => {
    // A row of zeros has no direction: the floor keeps it finite, as torch's normalize does with 1e-12.
    const inverseLength = ops.rsqrt(ops.maximum(ops.sumLast(ops.square(x)), ops.scalar(1e-24)));
    return { unit: ops.mul(x, inverseLength), inverseLength };
  });
}

/** dx = (du - u Σ du u) / length. */
export function normaliseRowsBackward(ops: Ops, du: Tensor, { unit, inverseLength }: NormalisedRows): Tensor {
  return ops.tidy(() => {
    const along = ops.mul(unit, ops.sumLast(ops.mul(du, unit)));
    return ops.mul(ops.sub(du, along), inverseLength);
  });
}

export interface ContrastiveResult {
  readonly loss: number;
  /** Gradients with respect to the raw features [B, D]. */
  readonly dimages: Tensor;
  readonly dtexts: Tensor;
  readonly dlogitScale: number;
}

/**
 * CLIP's loss (METHOD 7): ½·mean_i[CE(s·UVᵀ, i) + CE(s·VUᵀ, i)] with U, V the normalised features and
 * s = exp(logitScale).
 *
 * @param images raw image features [B, D]
 * @param texts raw text features [B, D]
 */
export function contrastiveLoss(
  ops: Ops,
  images: Tensor,
  texts: Tensor,
  logitScale: number,
): ContrastiveResult {
  const batch = images.shape[0];
  const scale = ops.runtime.tf.scalar(Math.exp(logitScale), "float32");
  let loss = 0;
  let dlogitScale = 0;
  const gradients = ops.tidy(() => {
    const u = normaliseRows(ops, images);
    const v = normaliseRows(ops, texts);
    const logits = ops.mul(ops.matMul(u.unit, v.unit, false, true), scale); // [B, B]
    const values = ops.read(logits);
    const { loss: value, gradient } = symmetricCrossEntropy(values, batch);
    loss = value;
    // d logits / d logitScale = logits
    for (let i = 0; i < values.length; i++) dlogitScale += (gradient[i] as number) * (values[i] as number);
    const dlogits = ops.mul(ops.tensor(gradient, [batch, batch]), scale);
    const du = ops.matMul(dlogits, v.unit);
    const dv = ops.matMul(dlogits, u.unit, true, false);
    return {
      dimages: normaliseRowsBackward(ops, du, u),
      dtexts: normaliseRowsBackward(ops, dv, v),
    };
  });
  scale.dispose();
  return { loss, dlogitScale, ...gradients };
}

/**
 * ½·mean_i[CE(row i, i) + CE(column i, i)] of a square matrix and its gradient, in double precision: the matrix is
 * small, and the loss is wanted on the host anyway.
 */
function symmetricCrossEntropy(logits: Float32Array, size: number): { loss: number; gradient: Float32Array } {
  const sums = new Float64Array(size * size);
  let total = 0;
  for (const [along, across] of [
    [1, size],
    [size, 1],
  ] as const) {
    for (let line = 0; line < size; line++) {
      const start = line * across;
      let highest = -Infinity;
      for (let i = 0; i < size; i++) highest = Math.max(highest, logits[start + i * along] as number);
      let sum = 0;
      for (let i = 0; i < size; i++) sum += Math.exp((logits[start + i * along] as number) - highest);
      const normaliser = highest + Math.log(sum);
      total += normaliser - (logits[start + line * along] as number);
      for (let i = 0; i < size; i++) {
        const at = start + i * along;
        sums[at] =
          (sums[at] as number) + Math.exp((logits[at] as number) - normaliser) - (i === line ? 1 : 0);
      }
    }
  }
  return {
    loss: total / (2 * size),
    gradient: Float32Array.from(sums, (value) => value / (2 * size)),
  };
}
