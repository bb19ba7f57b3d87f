import { headAttention, headAttentionBackward, mergeHeads, splitHeads } from "./attention.ts";
import type { AttentionSaved, SequenceShape } from "./attention.ts";
import { gelu, geluBackward } from "./gelu.ts";
import type { GeluSaved } from "./gelu.ts";
import { layerNorm, layerNormBackward } from "./layer-norm.ts";
import type { LayerNormSaved } from "./layer-norm.ts";
import { linear, linearBackward } from "./linear.ts";
import type { LinearNames } from "./linear.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

/** Names of the parameters of a post-norm transformer block. */
export interface PostNormNames {
  readonly query: LinearNames;
  readonly key: LinearNames;
  readonly value: LinearNames;
  readonly out: LinearNames;
  readonly norm1: string;
  readonly fc: LinearNames;
  readonly proj: LinearNames;
  readonly norm2: string;
}

/** The mask [B·H, 1, N] or [N, N] is added to the scores. */
export interface PostNormShape extends SequenceShape {
  /** Of the layer norms. */
  readonly epsilon: number;
}

/** Activations of a post-norm block; the inputs of its linear layers only where their weights are trained. */
export interface PostNormSaved {
  readonly attention: AttentionSaved;
  readonly norm1: LayerNormSaved;
  readonly gelu: GeluSaved;
  readonly norm2: LayerNormSaved;
  readonly linearInputs?: {
    readonly attention: Tensor;
    readonly out: Tensor;
    readonly fc: Tensor;
    readonly proj: Tensor;
  };
}

/** BERT's block: x = norm(x + attn(x)); x = norm(x + mlp(x)), with the exact GELU. x [B·N, W] -> [B·N, W]. */
export function postNormBlock(
  ops: Ops,
  parameters: Parameters,
  names: PostNormNames,
  { x, shape, keep }: { x: Tensor; shape: PostNormShape; keep: Keep },
): { y: Tensor; saved: PostNormSaved | undefined } {
  const { epsilon, mask } = shape;
  return ops.tidy(() => {
    const heads = (layer: LinearNames): Tensor =>
      splitHeads(ops, linear(ops, parameters, layer, x), 1, shape)[0]!;
    const attended = headAttention(ops, {
      q: heads(names.query),
      k: heads(names.key),
      v: heads(names.value),
      mask,
    });
    const merged = mergeHeads(ops, attended.y, shape);
    const sum1 = ops.add(x, linear(ops, parameters, names.out, merged));
    const middle = layerNorm(ops, parameters, names.norm1, sum1, epsilon);
    const activated = gelu(ops, linear(ops, parameters, names.fc, middle.y), false);
    const sum2 = ops.add(middle.y, linear(ops, parameters, names.proj, activated.y));
    const { y, saved: norm2 } = layerNorm(ops, parameters, names.norm2, sum2, epsilon);
    if (keep === "nothing") return { y, saved: undefined };
    const linearInputs =
      keep === "all" ? { linearInputs: { attention: x, out: merged, fc: middle.y, proj: activated.y } } : {};
    const saved: PostNormSaved = {
      attention: attended.saved,
      norm1: middle.saved,
      gelu: activated.saved,
      norm2,
      ...linearInputs,
    };
    return { y, saved };
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
  const { linearInputs: inputs } = saved;
  const made: Gradients | undefined = gradients && new Map();
  // Gradients leave the scope as part of its result.
  const { dx } = ops.tidy(() => {
    const back = (layer: LinearNames, rows: Tensor, x: Tensor | undefined): Tensor =>
      linearBackward(ops, parameters, layer, { dy: rows, x, gradients: made });
    const through = (norm: string, rows: Tensor, kept: LayerNormSaved): Tensor =>
      layerNormBackward(ops, parameters, norm, { dy: rows, saved: kept, gradients: made });
    const dsum2 = through(names.norm2, dy, saved.norm2);
    const dactivated = geluBackward(ops, back(names.proj, dsum2, inputs?.proj), saved.gelu, false);
    const dmiddle = ops.add(dsum2, back(names.fc, dactivated, inputs?.fc));
    const dsum1 = through(names.norm1, dmiddle, saved.norm1);
    const [dmerged] = splitHeads(ops, back(names.out, dsum1, inputs?.out), 1, shape);
    const { dq, dk, dv } = headAttentionBackward(ops, dmerged!, saved.attention);
    const ofHeads = (layer: LinearNames, rows: Tensor): Tensor =>
      back(layer, mergeHeads(ops, rows, shape), inputs?.attention);
    const dattention = ops.add(
      ops.add(ofHeads(names.query, dq), ofHeads(names.key, dk)),
      ofHeads(names.value, dv),
    );
    return { dx: ops.add(dsum1, dattention), kept: [...(made?.values() ?? [])] };
  });
  made?.forEach((value, key) => gradients?.set(key, value));
  ops.free(saved);
  return dx;
}
