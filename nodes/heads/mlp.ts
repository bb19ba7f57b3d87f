import { linearNames } from "../nn/block-names.ts";
import { linear, linearBackward, linearGradients } from "../nn/linear.ts";
import type { Tensor } from "../nn/ops.ts";
import { parameter } from "../nn/parameters.ts";
import { batchNorm } from "./batch-norm.ts";
import type { BodyPass, RunningHead } from "./compute.ts";

const [first, norm, second, scale] = [linearNames("mlp.0"), "mlp.1", linearNames("mlp.3"), "scale"] as const;

/**
 * Z = s * M(F) + F with M = Linear, batch norm, ReLU, Linear; Z = M(F) without the residual. METHOD 8.1. Runs in the
 * caller's scope.
 *
 * @param input [n, d]
 * @param training batch norm by the batch's statistics, which move the running ones
 */
export function mlpForward(head: RunningHead, input: Tensor, training: boolean): BodyPass {
  const { ops, parameters, shape } = head;
  const hidden = linear(ops, parameters, first, input); // [n, h]
  const normed = shape.batchNorm ? batchNorm(head, norm, hidden, training) : undefined;
  const active = ops.relu(normed?.y ?? hidden); // [n, h]
  const output = linear(ops, parameters, second, active); // [n, d]
  const factor = shape.residual ? parameter(parameters, scale) : undefined;

  return {
    z: factor ? ops.add(ops.mul(output, factor), input) : output,
    backward(dZ, gradients) {
      if (factor) gradients.set(scale, ops.sumRows(ops.mul(dZ, output)));
      const dOutput = factor ? ops.mul(dZ, factor) : dZ; // [n, d]
      const dActive = linearBackward(ops, parameters, second, { dy: dOutput, x: active, gradients }); // [n, h]
      const dNorm = ops.reluBackward(dActive, active);
      const dy = normed?.backward(dNorm, gradients) ?? dNorm; // [n, h]
      linearGradients(ops, first, { dy, x: input, gradients });
      // Only what trains its features as well needs this product.
      return () => {
        const dInput = ops.matMul(dy, parameter(parameters, first.weight), false, true); // [n, d]
        return factor ? ops.add(dInput, dZ) : dInput;
      };
    },
  };
}
