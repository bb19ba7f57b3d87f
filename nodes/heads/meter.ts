import { linearNames } from "../nn/block-names.ts";
import { gelu, geluBackward } from "../nn/gelu.ts";
import { layerNorm, layerNormBackward } from "../nn/layer-norm.ts";
import { linear, linearBackward } from "../nn/linear.ts";
import type { Tensor } from "../nn/ops.ts";
import type { BodyPass, RunningHead } from "./compute.ts";

const [first, norm] = [linearNames("mlp.0"), "mlp.1"] as const;

/**
 * Z = GELU(LayerNorm(Linear(F))), what METER has before its last linear layer (Dou et al., CVPR 2022; METHOD 9). Runs in
 * the caller's scope.
 *
 * @param input [n, d]
 */
export function meterForward({ ops, parameters }: RunningHead, input: Tensor): BodyPass {
  const normed = layerNorm(ops, parameters, norm, linear(ops, parameters, first, input));
  const active = gelu(ops, normed.y, false);
  return {
    z: active.y,
    backward(dZ, gradients) {
      const dy = layerNormBackward(ops, parameters, norm, {
        dy: geluBackward(ops, dZ, active.saved, false),
        saved: normed.saved,
        gradients,
      });
      const dInput = linearBackward(ops, parameters, first, { dy, x: input, gradients });
      return () => dInput;
    },
  };
}
