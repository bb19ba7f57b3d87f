import { attention, attentionBackward } from "./attention.ts";
import type { AttentionSaved, SequenceShape } from "./attention.ts";
import { layerNorm, layerNormBackward } from "./layer-norm.ts";
import type { LayerNormSaved } from "./layer-norm.ts";
import { linear, linearBackward } from "./linear.ts";
import { freeMlp, mlp, mlpBackward } from "./mlp.ts";
import type { MlpSaved } from "./mlp.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

export interface BlockShape extends SequenceShape {
  readonly quickGelu: boolean;
}

/** Activations a block keeps; the inputs of its linear layers only where their weights are trained. */
export interface BlockSaved {
  readonly norm: LayerNormSaved;
  readonly attention: AttentionSaved;
  readonly mlp: MlpSaved;
  readonly linearInputs?: readonly [qkv: Tensor, out: Tensor];
}

/** Names of the attention's linear layers in an OpenCLIP residual attention block. */
const names = (prefix: string) => ({
  qkv: { weight: `${prefix}.attn.in_proj_weight`, bias: `${prefix}.attn.in_proj_bias` },
  out: { weight: `${prefix}.attn.out_proj.weight`, bias: `${prefix}.attn.out_proj.bias` },
});

/** Pre-norm transformer block: x += attn(ln_1 x); x += mlp(ln_2 x). x [B·N, W] -> [B·N, W]. */
export function block(
  ops: Ops,
  parameters: Parameters,
  prefix: string,
  { x, shape, keep }: { x: Tensor; shape: BlockShape; keep: Keep },
): { y: Tensor; saved: BlockSaved | undefined } {
  const name = names(prefix);
  const { quickGelu } = shape;
  return ops.tidy(() => {
    const norm = layerNorm(ops, parameters, `${prefix}.ln_1`, x);
    const attended = attention(ops, linear(ops, parameters, name.qkv, norm.y), shape);
    const middle = ops.add(x, linear(ops, parameters, name.out, attended.y));
    const { y, saved } = mlp(ops, parameters, prefix, { x: middle, quickGelu, keep });
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
  prefix: string,
  {
    dy,
    saved,
    shape,
    gradients,
  }: { dy: Tensor; saved: BlockSaved; shape: BlockShape; gradients: Gradients | undefined },
): Tensor {
  const name = names(prefix);
  const { quickGelu } = shape;
  const [qkvInput, outInput] = saved.linearInputs ?? [];
  const made: Gradients | undefined = gradients && new Map();
  // Gradients leave the scope as part of its result.
  const { dx } = ops.tidy(() => {
    const dmiddle = mlpBackward(ops, parameters, prefix, {
      dy,
      saved: saved.mlp,
      quickGelu,
      gradients: made,
    });
    const dattended = linearBackward(ops, parameters, name.out, {
      dy: dmiddle,
      x: outInput,
      gradients: made,
    });
    const dqkv = attentionBackward(ops, dattended, saved.attention, shape);
    const dy1 = linearBackward(ops, parameters, name.qkv, { dy: dqkv, x: qkvInput, gradients: made });
    const dx = ops.add(
      dmiddle,
      layerNormBackward(ops, parameters, `${prefix}.ln_1`, { dy: dy1, saved: saved.norm, gradients: made }),
    );
    return { dx, kept: made ? [...made.values()] : [] };
  });
  made?.forEach((value, key) => gradients?.set(key, value));
  const { norm, attention: a, linearInputs } = saved;
  ops.dispose(norm.normalised, norm.rstd, a.q, a.k, a.v, a.weights, ...(linearInputs ?? []));
  freeMlp(ops, saved.mlp);
  return dx;
}
