import { attention, attentionBackward } from "./attention.ts";
import type { AttentionSaved, SequenceShape } from "./attention.ts";
import type { BlockNames } from "./block-names.ts";
import { layerNorm, layerNormBackward } from "./layer-norm.ts";
import type { LayerNormSaved } from "./layer-norm.ts";
import { linear, linearBackward } from "./linear.ts";
import { freeMlp, mlp, mlpBackward } from "./mlp.ts";
import type { MlpSaved } from "./mlp.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

export interface BlockShape extends SequenceShape {
  readonly quickGelu: boolean;
  /** Of the layer norms; 1e-5 where absent. */
  readonly epsilon?: number;
  /**
   * Where weights are trained, keep a block's input alone and compute the block again on its way back: a third more
   * work for a fraction of the memory, and the same bits.
   */
  readonly recompute?: boolean | undefined;
}

/** What a block keeps for its backward pass: its activations, or what they can be computed from. */
export type BlockSaved = BlockActivations | { readonly start: Tensor };

/** Activations a block keeps; the inputs of its linear layers only where their weights are trained. */
interface BlockActivations {
  readonly norm: LayerNormSaved;
  readonly attention: AttentionSaved;
  readonly mlp: MlpSaved;
  readonly linearInputs?: readonly [qkv: Tensor, out: Tensor];
}

/** Pre-norm transformer block: x += attn(ln_1 x); x += mlp(ln_2 x). x [B·N, W] -> [B·N, W]. */
export function block(
  ops: Ops,
  parameters: Parameters,
  names: BlockNames,
  { x, shape, keep }: { x: Tensor; shape: BlockShape; keep: Keep },
): { y: Tensor; saved: BlockSaved | undefined } {
  if (keep === "all" && shape.recompute) {
    const { y } = block(ops, parameters, names, { x, shape, keep: "nothing" });
    // A view of its own, since the caller frees x.
    return { y, saved: { start: ops.reshape(x, x.shape) } };
  }
  const { quickGelu, epsilon } = shape;
  return ops.tidy(() => {
    const norm = layerNorm(ops, parameters, names.norm1, x, epsilon);
    const attended = attention(ops, linear(ops, parameters, names.qkv, norm.y), shape);
    const middle = ops.add(x, linear(ops, parameters, names.out, attended.y));
    const { y, saved } = mlp(ops, parameters, names, { x: middle, quickGelu, epsilon, keep });
    if (keep === "nothing") return { y, saved: undefined };
    const linearInputs = keep === "all" ? { linearInputs: [norm.y, attended.y] as const } : {};
    return { y, saved: { norm: norm.saved, attention: attended.saved, mlp: saved, ...linearInputs } };
  });
}

/**
 * Backward pass of `block`: dy -> dx, both [B·N, W]. Frees what the forward pass saved.
 *
 * @param gradients takes the gradients of the block's parameters, where they are wanted
 */
export function blockBackward(
  ops: Ops,
  parameters: Parameters,
  names: BlockNames,
  {
    dy,
    saved,
    shape,
    gradients,
  }: { dy: Tensor; saved: BlockSaved; shape: BlockShape; gradients: Gradients | undefined },
): Tensor {
  if ("start" in saved) {
    const again = activations(ops, parameters, names, saved.start, shape);
    return blockBackward(ops, parameters, names, { dy, saved: again, shape, gradients });
  }
  const { quickGelu } = shape;
  const [qkvInput, outInput] = saved.linearInputs ?? [];
  const made: Gradients | undefined = gradients && new Map();
  // Gradients leave the scope as part of its result.
  const { dx } = ops.tidy(() => {
    const dmiddle = mlpBackward(ops, parameters, names, {
      dy,
      saved: saved.mlp,
      quickGelu,
      gradients: made,
    });
    const dattended = linearBackward(ops, parameters, names.out, {
      dy: dmiddle,
      x: outInput,
      gradients: made,
    });
    const dqkv = attentionBackward(ops, dattended, saved.attention, shape);
    const dy1 = linearBackward(ops, parameters, names.qkv, { dy: dqkv, x: qkvInput, gradients: made });
    const dx = ops.add(
      dmiddle,
      layerNormBackward(ops, parameters, names.norm1, { dy: dy1, saved: saved.norm, gradients: made }),
    );
    return { dx, kept: made ? [...made.values()] : [] };
  });
  made?.forEach((value, key) => gradients?.set(key, value));
  const { norm, attention: a, linearInputs } = saved;
  ops.dispose(norm.normalised, norm.rstd, a.q, a.k, a.v, a.weights, ...(linearInputs ?? []));
  freeMlp(ops, saved.mlp);
  return dx;
}

/** A block's activations, computed again from its input, which is freed. */
function activations(
  ops: Ops,
  parameters: Parameters,
  names: BlockNames,
  start: Tensor,
  shape: BlockShape,
): BlockSaved {
  const { y, saved } = block(ops, parameters, names, {
    x: start,
    shape: { ...shape, recompute: false },
    keep: "all",
  });
  ops.dispose(y, start);
  if (!saved) throw new Error("internal error: the block kept nothing");
  return saved;
}
