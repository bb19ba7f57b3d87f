import type { SequenceShape } from "./attention.ts";
import { noDropout } from "./dropout.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";
import { postNormAttention, postNormAttentionBackward } from "./post-norm-attention.ts";
import type {
  PostNormAttentionNames,
  PostNormAttentionSaved,
  PostNormAttentionShape,
} from "./post-norm-attention.ts";
import { postNormMlp, postNormMlpBackward } from "./post-norm-mlp.ts";
import type { PostNormMlpNames, PostNormMlpSaved } from "./post-norm-mlp.ts";

/** Names of the parameters of a post-norm transformer block. */
export interface PostNormNames {
  readonly attention: PostNormAttentionNames;
  readonly mlp: PostNormMlpNames;
}

/** The mask [B·H, 1, N] or [N, N] is added to the scores. */
export interface PostNormShape extends SequenceShape {
  /** Of the layer norms. */
  readonly epsilon: number;
}

/** Activations of a post-norm block. */
export interface PostNormSaved {
  readonly attention: PostNormAttentionSaved;
  readonly mlp: PostNormMlpSaved;
}

/** BERT's block: x = norm(x + attn(x)); x = norm(x + mlp(x)). x [B·N, W] -> [B·N, W]. */
export function postNormBlock(
  ops: Ops,
  parameters: Parameters,
  names: PostNormNames,
  { x, shape, keep }: { x: Tensor; shape: PostNormShape; keep: Keep },
): { y: Tensor; saved: PostNormSaved | undefined } {
  const { epsilon } = shape;
  return ops.tidy(() => {
    const attended = postNormAttention(ops, parameters, names.attention, {
      x,
      context: x,
      shape: selfShape(shape),
      keep,
      drop: noDropout,
    });
    const { y, saved } = postNormMlp(ops, parameters, names.mlp, {
      x: attended.y,
      epsilon,
      keep,
      drop: noDropout,
    });
    return { y, saved: keep === "nothing" ? undefined : { attention: attended.saved, mlp: saved } };
  });
}

/** Backward pass of `postNormBlock`: dy -> dx, both [B·N, W]. Frees what the forward pass saved, the input included. */
export function postNormBlockBackward(
  ops: Ops,
  parameters: Parameters,
  names: PostNormNames,
  {
    dy,
    saved,
    shape,
    gradients,
  }: { dy: Tensor; saved: PostNormSaved; shape: PostNormShape; gradients: Gradients | undefined },
): Tensor {
  const made: Gradients | undefined = gradients && new Map();
  // Gradients leave the scope as part of its result.
  const { dx } = ops.tidy(() => {
    const dmiddle = postNormMlpBackward(ops, parameters, names.mlp, {
      dy,
      saved: saved.mlp,
      gradients: made,
    });
    const { dx: own, dcontext } = postNormAttentionBackward(ops, parameters, names.attention, {
      dy: dmiddle,
      saved: saved.attention,
      shape: selfShape(shape),
      gradients: made,
    });
    return { dx: ops.add(own, dcontext), kept: [...(made?.values() ?? [])] };
  });
  made?.forEach((value, key) => gradients?.set(key, value));
  ops.free(saved);
  return dx;
}

function selfShape({ tokens, ...shape }: PostNormShape): PostNormAttentionShape {
  return { ...shape, queries: tokens, keys: tokens };
}
