import type { Ops, Tensor } from "./ops.ts";
import { parameter } from "./parameters.ts";
import type { Gradients, Parameters } from "./parameters.ts";

/** Names of a linear layer's parameters. OpenCLIP's own names follow no one pattern, so both are given. */
export interface LinearNames {
  readonly weight: string;
  readonly bias: string;
}

/** y = x W + b. x [M, in], W [in, out] -> [M, out]. */
export function linear(ops: Ops, parameters: Parameters, names: LinearNames, x: Tensor): Tensor {
  const product = ops.matMul(x, parameter(parameters, names.weight));
  const y = ops.add(product, parameter(parameters, names.bias));
  product.dispose();
  return y;
}

/**
 * dx = dy Wᵀ; with `gradients` also dW = xᵀ dy and db = Σ dy.
 *
 * @param x the layer's input; needed for the parameters' gradients only
 */
export function linearBackward(
  ops: Ops,
  parameters: Parameters,
  names: LinearNames,
  { dy, x, gradients }: { dy: Tensor; x: Tensor | undefined; gradients: Gradients | undefined },
): Tensor {
  if (gradients && x) linearGradients(ops, names, { dy, x, gradients });
  return ops.matMul(dy, parameter(parameters, names.weight), false, true);
}

/** dW = xᵀ dy and db = Σ dy alone, where nothing that is trained comes before the layer. */
export function linearGradients(
  ops: Ops,
  names: LinearNames,
  { dy, x, gradients }: { dy: Tensor; x: Tensor; gradients: Gradients },
): void {
  // In this order: what was just made here is summed here before the backend has it.
  gradients.set(names.bias, ops.sumRows(dy));
  gradients.set(names.weight, ops.matMul(x, dy, true, false));
}
