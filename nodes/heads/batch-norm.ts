import type { Tensor } from "../nn/ops.ts";
import { parameter } from "../nn/parameters.ts";
import type { Gradients } from "../nn/parameters.ts";
import type { RunningHead } from "./compute.ts";

/** torch's BatchNorm1d defaults. */
const [epsilon, momentum] = [1e-5, 0.1];

/**
 * Batch norm over rows as torch's BatchNorm1d: the batch's variance is biased, the running one unbiased. Runs in the
 * caller's scope.
 *
 * @param name of the layer: `name.weight`, `name.bias`, and the statistics `name.running_mean`, `name.running_var`
 * @param x [n, h]
 * @param training normalises by the batch's statistics and moves the running ones; otherwise by those
 */
export function batchNorm(
  { ops, parameters, statistics }: RunningHead,
  name: string,
  x: Tensor,
  training: boolean,
): { readonly y: Tensor; backward(dy: Tensor, gradients: Gradients): Tensor } {
  const n = x.shape[0] ?? 0;
  const [weight, bias] = [`${name}.weight`, `${name}.bias`];
  const running = (of: "mean" | "var"): Float32Array => {
    const found = statistics.get(`${name}.running_${of}`);
    if (!found) throw new Error("internal error: batch norm without running statistics");
    return found;
  };
  const kept = (of: "mean" | "var"): Tensor => ops.tensor(running(of), [running(of).length]);
  const meanOf = (rows: Tensor): Tensor => ops.mul(ops.sumRows(rows), ops.scalar(1 / n)); // [n, h] -> [h]

  const mean = training ? meanOf(x) : kept("mean"); // [h]
  const centred = ops.sub(x, mean);
  const variance = training ? meanOf(ops.square(centred)) : kept("var"); // [h]
  const inverse = ops.rsqrt(ops.add(variance, ops.scalar(epsilon))); // [h]
  const unit = ops.mul(centred, inverse); // [n, h]
  if (training) {
    move(running("mean"), ops.read(mean), 1);
    move(running("var"), ops.read(variance), n / (n - 1));
  }
  const gamma = parameter(parameters, weight);
  return {
    y: ops.add(ops.mul(unit, gamma), parameter(parameters, bias)),
    backward(dy, gradients) {
      const dBeta = ops.sumRows(dy);
      const dGamma = ops.sumRows(ops.mul(dy, unit));
      gradients.set(weight, dGamma);
      gradients.set(bias, dBeta);
      const share = ops.scalar(1 / n);
      const spread = ops.add(ops.mul(unit, ops.mul(dGamma, share)), ops.mul(dBeta, share));
      return ops.mul(ops.sub(dy, spread), ops.mul(gamma, inverse));
    },
  };
}

function move(running: Float32Array, batch: Float32Array, correction: number): void {
  for (let i = 0; i < running.length; i++) {
    running[i] = (1 - momentum) * (running[i] as number) + momentum * correction * (batch[i] as number);
  }
}
