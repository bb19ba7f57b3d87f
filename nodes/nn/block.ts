import { attention, attentionBackward } from "./attention.ts";
import type { AttentionSaved, SequenceShape } from "./attention.ts";
import { gelu, geluBackward } from "./gelu.ts";
import type { GeluSaved } from "./gelu.ts";
import { layerNorm, layerNormBackward } from "./layer-norm.ts";
import type { LayerNormSaved } from "./layer-norm.ts";
import { linear, linearBackward } from "./linear.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

export interface BlockShape extends SequenceShape {
  readonly quickGelu: boolean;
}

/** Activations a block keeps; the inputs of its linear layers only where their weights are trained. */
export interface BlockSaved {
  readonly norm1: LayerNormSaved;
  readonly attention: AttentionSaved;
  readonly norm2: LayerNormSaved;
  readonly gelu: GeluSaved;
  readonly linearInputs?: readonly [qkv: Tensor, out: Tensor, fc: Tensor, proj: Tensor];
}

/** Names of the linear layers of an OpenCLIP residual attention block. */
const names = (prefix: string) => ({
  qkv: { weight: `${prefix}.attn.in_proj_weight`, bias: `${prefix}.attn.in_proj_bias` },
  out: { weight: `${prefix}.attn.out_proj.weight`, bias: `${prefix}.attn.out_proj.bias` },
  fc: { weight: `${prefix}.mlp.c_fc.weight`, bias: `${prefix}.mlp.c_fc.bias` },
  proj: { weight: `${prefix}.mlp.c_proj.weight`, bias: `${prefix}.mlp.c_proj.bias` },
});

/** Pre-norm transformer block: x += attn(ln_1 x); x += mlp(ln_2 x). x [B·N, W] -> [B·N, W]. */
export function block(
  ops: Ops,
  parameters: Parameters,
  prefix: string,
  { x, shape, keep }: { x: Tensor; shape: BlockShape; keep: Keep },
): { y: Tensor; saved: BlockSaved | undefined } {
  const name = names(prefix);
  return ops.tidy(() => {
    const norm1 = layerNorm(ops, parameters, `${prefix}.ln_1`, x);
    const attended = attention(ops, linear(ops, parameters, name.qkv, norm1.y), shape);
    const middle = ops.add(x, linear(ops, parameters, name.out, attended.y));
    const norm2 = layerNorm(ops, parameters, `${prefix}.ln_2`, middle);
    const activated = gelu(ops, linear(ops, parameters, name.fc, norm2.y), shape.quickGelu);
    const y = ops.add(middle, linear(ops, parameters, name.proj, activated.y));
    if (keep === "nothing") return { y, saved: undefined };
    const saved: BlockSaved = {
      norm1: norm1.saved,
      attention: attended.saved,
      norm2: norm2.saved,
      gelu: activated.saved,
      ...(keep === "all" && { linearInputs: [norm1.y, attended.y, norm2.y, activated.y] as const }),
    };
    return { y, saved };
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
  const [qkvInput, outInput, fcInput, projInput] = saved.linearInputs ?? [];
  const made: Gradients | undefined = gradients && new Map();
  const common = { gradients: made };
  const { dx, found } = ops.tidy(() => {
    const dactivated = linearBackward(ops, parameters, name.proj, { dy, x: projInput, ...common });
    const dgelu = geluBackward(ops, dactivated, saved.gelu, shape.quickGelu);
    dactivated.dispose();
    const dnorm2 = linearBackward(ops, parameters, name.fc, { dy: dgelu, x: fcInput, ...common });
    dgelu.dispose();
    const dmiddle = ops.add(
      dy,
      layerNormBackward(ops, parameters, `${prefix}.ln_2`, { dy: dnorm2, saved: saved.norm2, ...common }),
    );
    const dattended = linearBackward(ops, parameters, name.out, { dy: dmiddle, x: outInput, ...common });
    const dqkv = attentionBackward(ops, dattended, saved.attention, shape);
    const dnorm1 = linearBackward(ops, parameters, name.qkv, { dy: dqkv, x: qkvInput, ...common });
    const dx = ops.add(
      dmiddle,
      layerNormBackward(ops, parameters, `${prefix}.ln_1`, { dy: dnorm1, saved: saved.norm1, ...common }),
    );
    return { dx, found: made ? [...made.values()] : [] };
  });
  if (made && found.length > 0) for (const [key, value] of made) gradients?.set(key, value);
  freeBlock(ops, saved);
  return dx;
}

/** Frees what a block's forward pass saved, where no backward pass will. */
export function freeBlock(ops: Ops, saved: BlockSaved): void {
  const { norm1, attention: a, norm2, gelu: g } = saved;
  ops.dispose(norm1.normalised, norm1.rstd, a.q, a.k, a.v, a.weights);
  ops.dispose(norm2.normalised, norm2.rstd, g.input, g.gate, ...(saved.linearInputs ?? []));
}
