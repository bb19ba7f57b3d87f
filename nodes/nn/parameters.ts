import type { Tensor } from "./ops.ts";

/** Parameters of a model by their names in the checkpoint, in compute layout: matrices are [in, out]. */
export type Parameters = ReadonlyMap<string, Tensor>;

/** Gradients by parameter name, in compute layout. Whoever made the map owns the tensors. */
export type Gradients = Map<string, Tensor>;

/**
 * What a forward pass keeps for its backward pass: nothing, what the gradient with respect to the input needs, or
 * what the gradients with respect to the parameters need as well.
 */
export type Keep = "nothing" | "input" | "all";

/** The parameter of a name. */
export function parameter(parameters: Parameters, name: string): Tensor {
  const found = parameters.get(name);
  if (!found) throw new Error(`internal error: the model has no parameter ${name}`);
  return found;
}
