import type { Ops, Tensor } from "./ops.ts";
import { parameter } from "./parameters.ts";
import type { Gradients, Parameters } from "./parameters.ts";

/** What `layerNormBackward` needs: the normalised input [M, D] and 1/σ [M, 1]. */
export interface LayerNormSaved {
  readonly normalised: Tensor;
  readonly rstd: Tensor;
}

/** Layer normalisation over the last axis of x [M, D]; parameters `name.weight` and `name.bias`. */
export function layerNorm(
  ops: Ops,
  parameters: Parameters,
  name: string,
  x: Tensor,
  epsilon = 1e-5,
): { y: Tensor; saved: LayerNormSaved } {
  const mean = ops.meanLast(x);
  const centred = ops.sub(x, mean);
  const squared = ops.square(centred);
  const variance = ops.meanLast(squared);
  const shifted = ops.add(variance, ops.scalar(epsilon));
  const rstd = ops.rsqrt(shifted);
  const normalised = ops.mul(centred, rstd);
  const scaled = ops.mul(normalised, parameter(parameters, `${name}.weight`));
  const y = ops.add(scaled, parameter(parameters, `${name}.bias`));
  ops.dispose(mean, centred, squared, variance, shifted, scaled);
  return { y, saved: { normalised, rstd } };
}

/** With x̂ the normalised input: dx = (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)) / σ, dx̂ = dy γ; dγ = Σ dy x̂, dβ = Σ dy. */
export function layerNormBackward(
  ops: Ops,
  parameters: Parameters,
  name: string,
  { dy, saved, gradients }: { dy: Tensor; saved: LayerNormSaved; gradients: Gradients | undefined },
): Tensor {
  const { normalised, rstd } = saved;
  if (gradients) {
    const weighted = ops.mul(dy, normalised);
    gradients.set(`${name}.weight`, ops.sumRows(weighted));
    gradients.set(`${name}.bias`, ops.sumRows(dy));
    weighted.dispose();
  }
  const dn = ops.mul(dy, parameter(parameters, `${name}.weight`));
  const product = ops.mul(dn, normalised);
  const projection = ops.meanLast(product);
  const along = ops.mul(normalised, projection);
  const mean = ops.meanLast(dn);
  const centred = ops.sub(dn, mean);
  const orthogonal = ops.sub(centred, along);
  const dx = ops.mul(orthogonal, rstd);
  ops.dispose(dn, product, projection, along, mean, centred, orthogonal);
  return dx;
}
