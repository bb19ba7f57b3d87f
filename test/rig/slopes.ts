/** Gradients compared with slopes, on every backend there is. */
import { expect } from "vitest";
import { loadBackend } from "../../nodes/compute/runtime.ts";
import type { Ops, Tensor } from "../../nodes/nn/ops.ts";
import { randomStream } from "../../nodes/random.ts";

/** The compute backends, and whether they load here. */
export const backends = await Promise.all(
  (["cpu", "wasm", "tensorflow"] as const).map(async (backend) => ({
    backend,
    loads: (await loadBackend(backend, 1)).ok,
  })),
);

/** Normal numbers of a stream of their own. */
export const normals = (purpose: string, count: number, deviation = 1): Float32Array => {
  const random = randomStream(1, purpose);
  return Float32Array.from({ length: count }, () => deviation * random.normal());
};

export const read = (ops: Ops, x: Tensor): Float32Array => Float32Array.from(ops.read(x));

/** Σ y·w, in double precision: a scalar whose gradient with respect to y is w. */
export const weighted = (y: Float32Array, w: Float32Array): number =>
  y.reduce((sum, value, at) => sum + value * (w[at] as number), 0);

/** Compares a gradient with central differences at some of its places. */
export function expectSlope(
  got: Float32Array,
  at: Float32Array,
  value: (at: Float32Array) => number,
  what: string,
): void {
  for (let i = 0; i < at.length; i += Math.max(1, Math.floor(at.length / 7))) {
    const moved = (by: number) => at.map((x, index) => (index === i ? x + by : x));
    const slope = (value(moved(5e-3)) - value(moved(-5e-3))) / 1e-2;
    expect(Math.abs((got[i] as number) - slope), `${what}[${i}]: ${got[i]} and ${slope}`).toBeLessThan(
      3e-3 * Math.max(1, Math.abs(slope)),
    );
  }
}
