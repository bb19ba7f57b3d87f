import type { Ops, Tensor } from "./ops.ts";

/** How the rows of an activation matrix [B·N, W] are to be read. */
export interface SequenceShape {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  /** Added to the scores [N, N]; absent where every token sees every other. */
  readonly mask?: Tensor;
}

/** What `attentionBackward` needs: q (scaled), k, v [B·H, N, d] and the attention weights [B·H, N, N]. */
export interface AttentionSaved {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly weights: Tensor;
}

/** softmax(q kᵀ / √d + mask) v for each head. qkv [B·N, 3W] -> [B·N, W]. */
export function attention(ops: Ops, qkv: Tensor, shape: SequenceShape): { y: Tensor; saved: AttentionSaved } {
  return ops.tidy(() => {
    const [unscaled, k, v] = splitHeads(ops, qkv, shape);
    const headWidth = k.shape[2] as number;
    const q = ops.mul(unscaled, ops.scalar(1 / Math.sqrt(headWidth)));
    const scores = ops.batchMatMul(q, k, false, true); // [B·H, N, N]
    const weights = ops.softmax(shape.mask ? ops.add(scores, shape.mask) : scores);
    const y = mergeHeads(ops, ops.batchMatMul(weights, v), shape);
    return { y, saved: { q, k, v, weights } };
  });
}

/** dP = dy vᵀ, dS = P (dP - Σ dP P), dq = dS k / √d, dk = dSᵀ q, dv = Pᵀ dy. dy [B·N, W] -> dqkv [B·N, 3W]. */
export function attentionBackward(
  ops: Ops,
  dy: Tensor,
  { q, k, v, weights }: AttentionSaved,
  shape: SequenceShape,
): Tensor {
  return ops.tidy(() => {
    const { batch, tokens, heads } = shape;
    const headWidth = k.shape[2] as number;
    const grouped = ops.reshape(dy, [batch, tokens, heads, headWidth]);
    const dout = ops.reshape(ops.transpose(grouped, [0, 2, 1, 3]), [batch * heads, tokens, headWidth]);
    const dv = ops.batchMatMul(weights, dout, true, false);
    const dweights = ops.batchMatMul(dout, v, false, true);
    const product = ops.mul(dweights, weights);
    const dscores = ops.sub(product, ops.mul(weights, ops.sumLast(product)));
    const dq = ops.mul(ops.batchMatMul(dscores, k), ops.scalar(1 / Math.sqrt(headWidth)));
    const dk = ops.batchMatMul(dscores, q, true, false);
    // [3B, H, N, d] -> [3, B·N, W] -> [B·N, 3W]
    const stacked = ops.reshape(ops.concat([dq, dk, dv], 0), [3 * batch, heads, tokens, headWidth]);
    const rows = ops.reshape(ops.transpose(stacked, [0, 2, 1, 3]), [3, batch * tokens, heads * headWidth]);
    return ops.reshape(ops.transpose(rows, [1, 0, 2]), [batch * tokens, 3 * heads * headWidth]);
  });
}

/** [B·N, 3W] -> q, k, v, each [B·H, N, d]. Transposes of rank 4 at most: wasm is slow above. */
function splitHeads(
  ops: Ops,
  qkv: Tensor,
  { batch, tokens, heads }: SequenceShape,
): [Tensor, Tensor, Tensor] {
  const width = (qkv.shape[1] as number) / 3;
  const headWidth = width / heads;
  const parts = ops.transpose(ops.reshape(qkv, [batch * tokens, 3, width]), [1, 0, 2]);
  const grouped = ops.reshape(parts, [3 * batch, tokens, heads, headWidth]);
  const all = ops.reshape(ops.transpose(grouped, [0, 2, 1, 3]), [3 * batch * heads, tokens, headWidth]);
  const part = (index: number): Tensor =>
    ops.slice(all, [index * batch * heads, 0, 0], [batch * heads, tokens, headWidth]);
  return [part(0), part(1), part(2)];
}

/** [B·H, N, d] -> [B·N, W]. */
function mergeHeads(ops: Ops, x: Tensor, { batch, tokens, heads }: SequenceShape): Tensor {
  const headWidth = x.shape[2] as number;
  const grouped = ops.reshape(x, [batch, heads, tokens, headWidth]);
  return ops.reshape(ops.transpose(grouped, [0, 2, 1, 3]), [batch * tokens, heads * headWidth]);
}
