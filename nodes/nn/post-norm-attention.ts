import { headAttention, headAttentionBackward, mergeHeads, splitHeads } from "./attention.ts";
import type { AttentionSaved } from "./attention.ts";
import { masked } from "./dropout.ts";
import type { Dropout } from "./dropout.ts";
import { layerNorm, layerNormBackward } from "./layer-norm.ts";
import type { LayerNormSaved } from "./layer-norm.ts";
import { linear, linearBackward } from "./linear.ts";
import type { LinearNames } from "./linear.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

/** Names of the parameters of a post-norm attention. */
export interface PostNormAttentionNames {
  readonly query: LinearNames;
  readonly key: LinearNames;
  readonly value: LinearNames;
  readonly out: LinearNames;
  readonly norm: string;
}

/** How rows are to be read: those that ask, [B·M, W], and those that are asked, [B·N, W]. */
export interface PostNormAttentionShape {
  readonly batch: number;
  readonly heads: number;
  /** M. */
  readonly queries: number;
  /** N. */
  readonly keys: number;
  /** Added to the scores: [B·H, 1, N], or any shape that broadcasts to [B·H, M, N]. */
  readonly mask?: Tensor;
  /** Of the layer norm. */
  readonly epsilon: number;
}

/** Activations of a post-norm attention; the inputs of its linear layers only where their weights are trained. */
export interface PostNormAttentionSaved {
  readonly attention: AttentionSaved;
  readonly norm: LayerNormSaved;
  readonly drop: Tensor | undefined;
  readonly linearInputs?: { readonly x: Tensor; readonly context: Tensor; readonly merged: Tensor };
}

/**
 * norm(x + out(attention of x to the context)); self-attention where the context is x itself. Runs inside the
 * caller's `tidy`.
 *
 * @param x [B·M, W]
 * @param context [B·N, W]
 * @returns [B·M, W]
 */
export function postNormAttention(
  ops: Ops,
  parameters: Parameters,
  names: PostNormAttentionNames,
  {
    x,
    context,
    shape,
    keep,
    drop,
  }: { x: Tensor; context: Tensor; shape: PostNormAttentionShape; keep: Keep; drop: Dropout },
): { y: Tensor; saved: PostNormAttentionSaved } {
  const [asking, asked] = rowShapes(shape);
  const heads = (layer: LinearNames, rows: Tensor, of: RowShape): Tensor =>
    splitHeads(ops, linear(ops, parameters, layer, rows), 1, of)[0]!;
  const attended = headAttention(ops, {
    q: heads(names.query, x, asking),
    k: heads(names.key, context, asked),
    v: heads(names.value, context, asked),
    mask: shape.mask,
  });
  const merged = mergeHeads(ops, attended.y, asking);
  const out = linear(ops, parameters, names.out, merged);
  const mask = drop(out.shape);
  const sum = ops.add(x, masked(ops, out, mask));
  const { y, saved: norm } = layerNorm(ops, parameters, names.norm, sum, shape.epsilon);
  const linearInputs = keep === "all" ? { linearInputs: { x, context, merged } } : {};
  return { y, saved: { attention: attended.saved, norm, drop: mask, ...linearInputs } };
}

/**
 * Backward pass of `postNormAttention`: dy -> dx [B·M, W] and dcontext [B·N, W], whose sum is the gradient of x where
 * it was its own context. Runs inside the caller's `tidy`.
 */
export function postNormAttentionBackward(
  ops: Ops,
  parameters: Parameters,
  names: PostNormAttentionNames,
  {
    dy,
    saved,
    shape,
    gradients,
  }: {
    dy: Tensor;
    saved: PostNormAttentionSaved;
    shape: PostNormAttentionShape;
    gradients: Gradients | undefined;
  },
): { dx: Tensor; dcontext: Tensor } {
  const [asking, asked] = rowShapes(shape);
  const { linearInputs: inputs } = saved;
  const back = (layer: LinearNames, rows: Tensor, x: Tensor | undefined): Tensor =>
    linearBackward(ops, parameters, layer, { dy: rows, x, gradients });
  const dsum = layerNormBackward(ops, parameters, names.norm, { dy, saved: saved.norm, gradients });
  const dmerged = back(names.out, masked(ops, dsum, saved.drop), inputs?.merged);
  const [dheads] = splitHeads(ops, dmerged, 1, asking);
  const { dq, dk, dv } = headAttentionBackward(ops, dheads!, saved.attention);
  const dx = ops.add(dsum, back(names.query, mergeHeads(ops, dq, asking), inputs?.x));
  const dkeys = back(names.key, mergeHeads(ops, dk, asked), inputs?.context);
  const dvalues = back(names.value, mergeHeads(ops, dv, asked), inputs?.context);
  return { dx, dcontext: ops.add(dkeys, dvalues) };
}

interface RowShape {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
}

function rowShapes({
  batch,
  heads,
  keys,
  queries,
}: PostNormAttentionShape): [asking: RowShape, asked: RowShape] {
  return [
    { batch, tokens: queries, heads },
    { batch, tokens: keys, heads },
  ];
}

/**
 * A mask of keys for `postNormAttention`: [B·H, 1, N], 0 where a token counts, and where none does a number that no
 * softmax survives.
 *
 * @param valid [B, N] row-major
 */
export function keyMask(
  ops: Ops,
  valid: ArrayLike<boolean | number>,
  { batch, heads, keys }: Pick<PostNormAttentionShape, "batch" | "heads" | "keys">,
): Tensor {
  const values = new Float32Array(batch * heads * keys);
  for (let row = 0; row < batch; row++) {
    for (let at = 0; at < keys; at++) {
      if (valid[row * keys + at]) continue;
      for (let head = 0; head < heads; head++) values[(row * heads + head) * keys + at] = -1e9;
    }
  }
  return ops.tensor(values, [batch * heads, 1, keys]);
}
