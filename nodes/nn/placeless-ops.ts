import type { Ops } from "./ops.ts";

/**
 * Operations with which an image of a batch gets the same bits wherever it stands in the batch, whatever stands
 * around it. They are those of the runtime, but for two kernels of the native library: its softmax rounds by the
 * place in memory, and so does its reciprocal square root at the end of a tensor. What takes their place is made of
 * kernels that round value by value (square roots and quotients exactly, as IEEE 754 asks).
 *
 * The exponential of the last few values of a tensor may still be rounded otherwise: see `batchHeight`.
 */
export function placelessOps(ops: Ops): Ops {
  if (ops.runtime.backend !== "tensorflow") return ops;
  return {
    ...ops,
    rsqrt: (x) => ops.tidy(() => ops.div(ops.scalar(1), ops.sqrt(x))),
    softmax: (x) =>
      ops.tidy(() => {
        const raised = ops.exp(ops.sub(x, ops.maxLast(x)));
        return ops.div(raised, ops.sumLast(raised));
      }),
  };
}
