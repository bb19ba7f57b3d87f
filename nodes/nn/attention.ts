import type { Ops, Tensor } from "./ops.ts";

/** How the rows of an activation matrix [B·N, W] are to be read. */
export interface SequenceShape {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  /** Added to the scores [N, N]; absent where every token sees every other. */
  readonly mask?: Tensor;
}

/** What the backward pass needs: q (scaled) [B·H, M, d], k and v [B·H, N, d], the attention weights [B·H, M, N]. */
export interface AttentionSaved {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly weights: Tensor;
}

/** softmax(q kᵀ / √d + mask) v for each head. qkv [B·N, 3W] -> [B·N, W]. */
export function attention(ops: Ops, qkv: Tensor, shape: SequenceShape): { y: Tensor; saved: AttentionSaved } {
  return ops.tidy(() => {
    const [q, k, v] = splitHeads(ops, qkv, 3, shape);
    const { y, saved } = headAttention(ops, { q: q!, k: k!, v: v!, mask: shape.mask });
    return { y: mergeHeads(ops, y, shape), saved };
  });
}

/** Backward pass of `attention`: dy [B·N, W] -> dqkv [B·N, 3W]. */
export function attentionBackward(ops: Ops, dy: Tensor, saved: AttentionSaved, shape: SequenceShape): Tensor {
  return ops.tidy(() => {
    const [dout] = splitHeads(ops, dy, 1, shape);
    const { dq, dk, dv } = headAttentionBackward(ops, dout!, saved);
    return joinHeads(ops, [dq, dk, dv], shape);
  });
}

/** Attention of M queries to N keys in each head: q [B·H, M, d], k and v [B·H, N, d] -> [B·H, M, d]. */
export function headAttention(
  ops: Ops,
  { q: unscaled, k, v, mask }: { q: Tensor; k: Tensor; v: Tensor; mask: Tensor | undefined },
): { y: Tensor; saved: AttentionSaved } {
  const headWidth = k.shape[2] as number;
  const q = ops.mul(unscaled, ops.scalar(1 / Math.sqrt(headWidth)));
  const scores = ops.batchMatMul(q, k, false, true);
  const weights = ops.softmax(mask ? ops.add(scores, mask) : scores);
  return { y: ops.batchMatMul(weights, v), saved: { q, k, v, weights } };
}

/** dP = dy vᵀ, dS = P (dP - Σ dP P), dq = dS k / √d, dk = dSᵀ q, dv = Pᵀ dy. */
export function headAttentionBackward(
  ops: Ops,
  dy: Tensor,
  { q, k, v, weights }: AttentionSaved,
): { dq: Tensor; dk: Tensor; dv: Tensor } {
  const headWidth = k.shape[2] as number;
  const dv = ops.batchMatMul(weights, dy, true, false);
  const dweights = ops.batchMatMul(dy, v, false, true);
  const product = ops.mul(dweights, weights);
  const dscores = ops.sub(product, ops.mul(weights, ops.sumLast(product)));
  const dq = ops.mul(ops.batchMatMul(dscores, k), ops.scalar(1 / Math.sqrt(headWidth)));
  return { dq, dk: ops.batchMatMul(dscores, q, true, false), dv };
}

/** [B·N, count·W] -> count tensors [B·H, N, d]. Transposes of rank 4 at most: wasm is slow above. */
export function splitHeads(
  ops: Ops,
  x: Tensor,
  count: number,
  { batch, tokens, heads }: Omit<SequenceShape, "mask">,
): Tensor[] {
  const width = (x.shape[1] as number) / count;
  const headWidth = width / heads;
  const parts = count === 1 ? x : ops.transpose(ops.reshape(x, [batch * tokens, count, width]), [1, 0, 2]);
  const grouped = ops.reshape(parts, [count * batch, tokens, heads, headWidth]);
  const all = ops.reshape(ops.transpose(grouped, [0, 2, 1, 3]), [count * batch * heads, tokens, headWidth]);
  if (count === 1) return [all];
  return Array.from({ length: count }, (_, index) =>
    ops.slice(all, [index * batch * heads, 0, 0], [batch * heads, tokens, headWidth]),
  );
}

/** The reverse of `splitHeads`: [B·H, N, d] each -> [B·N, count·W]. */
export function joinHeads(
  ops: Ops,
  parts: readonly Tensor[],
  { batch, tokens, heads }: Omit<SequenceShape, "mask">,
): Tensor {
  const count = parts.length;
  const headWidth = parts[0]?.shape[2] as number;
  const width = heads * headWidth;
  const stacked = ops.reshape(ops.concat(parts, 0), [count * batch, heads, tokens, headWidth]);
  const rows = ops.reshape(ops.transpose(stacked, [0, 2, 1, 3]), [count, batch * tokens, width]);
  return ops.reshape(ops.transpose(rows, [1, 0, 2]), [batch * tokens, count * width]);
}

/** [B·H, N, d] -> [B·N, W]. */
export function mergeHeads(
  ops: Ops,
  x: Tensor,
  { batch, tokens, heads }: Omit<SequenceShape, "mask">,
): Tensor {
  const headWidth = x.shape[2] as number;
  const grouped = ops.reshape(x, [batch, heads, tokens, headWidth]);
  return ops.reshape(ops.transpose(grouped, [0, 2, 1, 3]), [batch * tokens, heads * headWidth]);
}
