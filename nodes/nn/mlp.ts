import type { BlockNames } from "./block-names.ts";
import { gelu, geluBackward } from "./gelu.ts";
import type { GeluSaved } from "./gelu.ts";
import { layerNorm, layerNormBackward } from "./layer-norm.ts";
import type { LayerNormSaved } from "./layer-norm.ts";
import { linear, linearBackward } from "./linear.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Keep, Parameters } from "./parameters.ts";

/** Activations of `mlp`; the inputs of its linear layers only where their weights are trained. */
export interface MlpSaved {
  readonly norm: LayerNormSaved;
  readonly gelu: GeluSaved;
  readonly linearInputs?: readonly [fc: Tensor, proj: Tensor];
}

/** The second half of a transformer block: x + mlp(norm x), row by row. Runs inside the caller's `tidy`. */
export function mlp(
  ops: Ops,
  parameters: Parameters,
  names: BlockNames,
  { x, quickGelu, epsilon, keep }: { x: Tensor; quickGelu: boolean; epsilon: number | undefined; keep: Keep },
): { y: Tensor; saved: MlpSaved } {
  const norm = layerNorm(ops, parameters, names.norm2, x, epsilon);
  const activated = gelu(ops, linear(ops, parameters, names.fc, norm.y), quickGelu);
  const y = ops.add(x, linear(ops, parameters, names.proj, activated.y));
  const linearInputs = keep === "all" ? { linearInputs: [norm.y, activated.y] as const } : {};
  return { y, saved: { norm: norm.saved, gelu: activated.saved, ...linearInputs } };
}

/** Backward pass of `mlp`: dy -> dx. Runs inside the caller's `tidy`. */
export function mlpBackward(
  ops: Ops,
  parameters: Parameters,
  names: BlockNames,
  {
    dy,
    saved,
    quickGelu,
    gradients,
  }: { dy: Tensor; saved: MlpSaved; quickGelu: boolean; gradients: Gradients | undefined },
): Tensor {
  const [fcInput, projInput] = saved.linearInputs ?? [];
  const dactivated = linearBackward(ops, parameters, names.proj, { dy, x: projInput, gradients });
  const dgelu = geluBackward(ops, dactivated, saved.gelu, quickGelu);
  dactivated.dispose();
  const dnorm = linearBackward(ops, parameters, names.fc, { dy: dgelu, x: fcInput, gradients });
  dgelu.dispose();
  return ops.add(
    dy,
    layerNormBackward(ops, parameters, names.norm2, { dy: dnorm, saved: saved.norm, gradients }),
  );
}

/** Frees what `mlp` saved. */
export function freeMlp(ops: Ops, { norm, gelu: { input, gate }, linearInputs }: MlpSaved): void {
  ops.dispose(norm.normalised, norm.rstd, input, gate, ...(linearInputs ?? []));
}
