import type { Ops, Tensor } from "./ops.ts";

/** The gate g of y = u·g: Φ(u) for GELU, sigmoid(1.702u) for QuickGELU. */
export interface GeluSaved {
  readonly input: Tensor;
  readonly gate: Tensor;
}

/** Exact GELU u·Φ(u), or OpenAI's QuickGELU u·sigmoid(1.702u). Element-wise. */
export function gelu(ops: Ops, input: Tensor, quick: boolean): { y: Tensor; saved: GeluSaved } {
  const gate = quick ? quickGate(ops, input) : normalGate(ops, input);
  return { y: ops.mul(input, gate), saved: { input, gate } };
}

/** du = dy·(g + u·g′): g′ = φ(u) for GELU, 1.702·g·(1 - g) for QuickGELU. */
export function geluBackward(ops: Ops, dy: Tensor, { input, gate }: GeluSaved, quick: boolean): Tensor {
  return ops.tidy(() => {
    const slope = quick
      ? ops.mul(ops.mul(gate, ops.sub(ops.scalar(1), gate)), ops.scalar(1.702))
      : ops.mul(
          ops.exp(ops.mul(ops.square(input), ops.scalar(-0.5))),
          ops.scalar(1 / Math.sqrt(2 * Math.PI)),
        );
    return ops.mul(dy, ops.add(gate, ops.mul(input, slope)));
  });
}

function normalGate(ops: Ops, input: Tensor): Tensor {
  return ops.tidy(() => {
    const erf = ops.erf(ops.mul(input, ops.scalar(Math.SQRT1_2)));
    return ops.add(ops.mul(erf, ops.scalar(0.5)), ops.scalar(0.5));
  });
}

function quickGate(ops: Ops, input: Tensor): Tensor {
  return ops.tidy(() => ops.sigmoid(ops.mul(input, ops.scalar(1.702))));
}
