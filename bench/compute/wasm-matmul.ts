import { openRuntime } from "../../nodes/compute/runtime.ts";
import { opsOf } from "../../nodes/nn/ops.ts";
import type { Ops, Tensor } from "../../nodes/nn/ops.ts";
import { randomStream } from "../../nodes/random.ts";
import { median } from "../results.ts";
import type { Finding } from "./findings.ts";

const wanted = 0.7;
const rounds = 9;

const [batch, tokens, width, heads, patch] = [16, 50, 768, 12, 3 * 32 * 32];
const headWidth = width / heads;
const inner = 4 * width;

/** A product that the tower takes once, or in each of its 12 blocks. */
interface Product {
  readonly name: string;
  readonly way: "forward" | "backward";
  readonly times: number;
  readonly multiplications: number;
  run(): Tensor;
}

/**
 * Every product of ViT-B/32's image tower at B=16, forward and backward, in the form in which `nn/ops` makes it, with
 * its transposes: each beside a plain one of 1024 x 1024 x 1024 in the same moment. All are measured once before any is again,
 * so that a busy while of the machine does not fall on one of them.
 */
export async function measureProducts(): Promise<Finding> {
  const ops = opsOf(await openRuntime({ backend: "wasm", threads: 1 }));
  const a = filled(ops, [1024, 1024]);
  const b = filled(ops, [1024, 1024]);
  const plain = (): Tensor => ops.matMul(a, b);
  const all = [...linearProducts(ops), ...headProducts(ops)].map((product) => ({
    ...product,
    ratios: new Array<number>(),
  }));
  for (const run of [plain, ...all.map(({ run }) => run)]) secondsOf(run);
  let gigaflops = 0;
  for (let round = 0; round < rounds; round++) {
    for (const { multiplications, run, ratios } of all) {
      const perSecond = 1024 ** 3 / secondsOf(plain);
      ratios.push(multiplications / secondsOf(run) / perSecond);
      gigaflops = Math.max(gigaflops, (2 * perSecond) / 1e9);
    }
  }
  const figures: Record<string, number> = {};
  const sums = { forward: { ideal: 0, real: 0 }, backward: { ideal: 0, real: 0 } };
  for (const { name, way, times, multiplications, ratios } of all) {
    const ratio = median(ratios);
    figures[name] = ratio;
    sums[way].ideal += times * multiplications;
    sums[way].real += (times * multiplications) / ratio;
  }
  const [forward, backward] = [sums.forward, sums.backward].map(({ ideal, real }) => ideal / real) as [
    number,
    number,
  ];
  const layers = Object.entries(figures).filter(([name]) => !name.startsWith("attention"));
  const [slowest = "", least = 0] = layers.toSorted(([, x], [, y]) => x - y)[0] ?? [];
  return {
    wanted: `at least ${wanted} of the plain rate at 1024³`,
    found: `${percent(forward)} forward, ${percent(backward)} backward; the slowest layer ${percent(least)} (${slowest})`,
    holds: Math.min(forward, backward, least) >= wanted,
    figures: { plainGigaflops: gigaflops, forward, backward, ...figures },
  };
}

function* linearProducts(ops: Ops): Generator<Product> {
  for (const [name, times, rows, from, to] of [
    ["patches", 1, batch * (tokens - 1), patch, width],
    ["qkv", 12, batch * tokens, width, 3 * width],
    ["out", 12, batch * tokens, width, width],
    ["fc", 12, batch * tokens, width, inner],
    ["proj", 12, batch * tokens, inner, width],
  ] as const) {
    const x = filled(ops, [rows, from]);
    const weight = filled(ops, [from, to]);
    const dy = filled(ops, [rows, to]);
    const shared = { times, multiplications: rows * from * to };
    yield { name, way: "forward", ...shared, run: () => ops.matMul(x, weight) };
    // A frozen tower's pixels need it of the patches, too.
    yield { name: `${name} dx`, way: "backward", ...shared, run: () => ops.matMul(dy, weight, false, true) };
    yield { name: `${name} dW`, way: "backward", ...shared, run: () => ops.matMul(x, dy, true, false) };
  }
}

function* headProducts(ops: Ops): Generator<Product> {
  const x = filled(ops, [batch * heads, tokens, headWidth]);
  const weights = filled(ops, [batch * heads, tokens, tokens]);
  const shared = { times: 12, multiplications: batch * heads * tokens * tokens * headWidth };
  for (const [name, way, run] of [
    ["q kᵀ", "forward", () => ops.batchMatMul(x, x, false, true)],
    ["P v", "forward", () => ops.batchMatMul(weights, x)],
    ["dy vᵀ", "backward", () => ops.batchMatMul(x, x, false, true)],
    ["Pᵀ dy", "backward", () => ops.batchMatMul(weights, x, true, false)],
    ["dS k", "backward", () => ops.batchMatMul(weights, x)],
    ["dSᵀ q", "backward", () => ops.batchMatMul(weights, x, true, false)],
  ] as const) {
    yield { name: `attention ${name}`, way, ...shared, run };
  }
}

function filled(ops: Ops, shape: readonly number[]): Tensor {
  const random = randomStream(1, "bench");
  const size = shape.reduce((product, side) => product * side, 1);
  return ops.tensor(
    Float32Array.from({ length: size }, () => random.next() - 0.5),
    shape,
  );
}

/** CPU seconds of one run: wasm has one thread, and others may have the machine in between. */
function secondsOf(run: () => Tensor): number {
  const before = process.cpuUsage();
  let times = 0;
  for (;;) {
    run().dispose();
    times++;
    const { user, system } = process.cpuUsage(before);
    const seconds = (user + system) / 1e6;
    if (seconds > 0.05) return seconds / times;
  }
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
