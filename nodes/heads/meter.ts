import type { Tensor2D } from "@tensorflow/tfjs-core";
import type { Runtime } from "../compute/types.ts";
import { linearNames } from "../nn/block-names.ts";
import { gelu, geluBackward } from "../nn/gelu.ts";
import { layerNorm, layerNormBackward } from "../nn/layer-norm.ts";
import { linear, linearBackward } from "../nn/linear.ts";
import { opsOf } from "../nn/ops.ts";
import type { Gradients as TensorGradients } from "../nn/parameters.ts";
import { headTensors, type HeadShape, type HeadWeights } from "./head.ts";

const first = linearNames("mlp.0");
const norm = "mlp.1";

/**
 * Z = GELU(LayerNorm(Linear(F))), what METER has before its last linear layer (Dou et al., CVPR 2022; METHOD 9). Runs in
 * the caller's scope.
 *
 * @param input [n, d]
 * @returns z [n, d], and the way back, on to F where it is called
 */
export function meterForward(
  runtime: Runtime,
  shape: HeadShape,
  weights: HeadWeights,
  input: Tensor2D,
): {
  readonly z: Tensor2D;
  backward(dZ: Tensor2D, gradients: Map<string, Float32Array>): () => Tensor2D;
} {
  const ops = opsOf(runtime);
  const parameters = new Map(
    [...headTensors(shape)]
      .filter(([name]) => name.startsWith("mlp."))
      .map(([name, size]) => [name, ops.tensor(weights.get(name)!, size)]),
  );
  const normed = layerNorm(ops, parameters, norm, linear(ops, parameters, first, input));
  const active = gelu(ops, normed.y, false);
  return {
    z: active.y as Tensor2D,
    backward(dZ, gradients) {
      const found: TensorGradients = new Map();
      const dNormed = geluBackward(ops, dZ, active.saved, false);
      const dLinear = layerNormBackward(ops, parameters, norm, {
        dy: dNormed,
        saved: normed.saved,
        gradients: found,
      });
      const dInput = linearBackward(ops, parameters, first, { dy: dLinear, x: input, gradients: found });
      for (const [name, gradient] of found) gradients.set(name, Float32Array.from(ops.read(gradient)));
      return () => dInput as Tensor2D;
    },
  };
}
