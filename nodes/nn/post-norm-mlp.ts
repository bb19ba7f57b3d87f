import { masked } from "./dropout.ts";
import type { Dropout } from "./dropout.ts";
import { gelu, geluBackward } from "./gelu.ts";
import type { GeluSaved } from "./gelu.ts";
import { layerNorm, layerNormBackward } from "./layer-norm.ts";
import type { LayerNormSaved } from "./layer-norm.ts";
import { linear, linearBackward } from "./linear.ts";
import type { LinearNames } from "./linear.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

/** Names of the parameters of a post-norm MLP. */
export interface PostNormMlpNames {
  readonly fc: LinearNames;
  readonly proj: LinearNames;
  readonly norm: string;
}

/** Activations of a post-norm MLP; the inputs of its linear layers only where their weights are trained. */
export interface PostNormMlpSaved {
  readonly gelu: GeluSaved;
  readonly norm: LayerNormSaved;
  readonly drop: Tensor | undefined;
  readonly linearInputs?: { readonly x: Tensor; readonly activated: Tensor };
}

/** norm(x + proj(GELU(fc x))), row by row, with the exact GELU. Runs inside the caller's `tidy`. */
export function postNormMlp(
  ops: Ops,
  parameters: Parameters,
  names: PostNormMlpNames,
  { x, epsilon, keep, drop }: { x: Tensor; epsilon: number; keep: Keep; drop: Dropout },
): { y: Tensor; saved: PostNormMlpSaved } {
  const activated = gelu(ops, linear(ops, parameters, names.fc, x), false);
  const out = linear(ops, parameters, names.proj, activated.y);
  const mask = drop(out.shape);
  const sum = ops.add(x, masked(ops, out, mask));
  const { y, saved: norm } = layerNorm(ops, parameters, names.norm, sum, epsilon);
  const linearInputs = keep === "all" ? { linearInputs: { x, activated: activated.y } } : {};
  return { y, saved: { gelu: activated.saved, norm, drop: mask, ...linearInputs } };
}

/** Backward pass of `postNormMlp`: dy -> dx. Runs inside the caller's `tidy`. */
export function postNormMlpBackward(
  ops: Ops,
  parameters: Parameters,
  names: PostNormMlpNames,
  { dy, saved, gradients }: { dy: Tensor; saved: PostNormMlpSaved; gradients: Gradients | undefined },
): Tensor {
  const { linearInputs: inputs } = saved;
  const dsum = layerNormBackward(ops, parameters, names.norm, { dy, saved: saved.norm, gradients });
  const dout = masked(ops, dsum, saved.drop);
  const dactivated = linearBackward(ops, parameters, names.proj, {
    dy: dout,
    x: inputs?.activated,
    gradients,
  });
  const dfc = geluBackward(ops, dactivated, saved.gelu, false);
  return ops.add(dsum, linearBackward(ops, parameters, names.fc, { dy: dfc, x: inputs?.x, gradients }));
}
