import { describe, expect, it } from "vitest";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import { block, blockBackward } from "../../nodes/nn/block.ts";
import { openClipBlock } from "../../nodes/nn/block-names.ts";
import type { BlockShape } from "../../nodes/nn/block.ts";
import { gelu, geluBackward } from "../../nodes/nn/gelu.ts";
import { layerNorm, layerNormBackward } from "../../nodes/nn/layer-norm.ts";
import { opsOf } from "../../nodes/nn/ops.ts";
import type { Ops, Tensor } from "../../nodes/nn/ops.ts";
import type { Gradients } from "../../nodes/nn/parameters.ts";
import { createPooling, freePooling, pooledBlock, pooledBlockBackward } from "../../nodes/nn/pooled-block.ts";
import { backends, expectSlope, normals, read, weighted } from "../rig/slopes.ts";

const [batch, tokens, heads, width] = [2, 5, 2, 8];

const shapes: Readonly<Record<string, readonly number[]>> = {
  "b.ln_1.weight": [width],
  "b.ln_1.bias": [width],
  "b.attn.in_proj_weight": [width, 3 * width],
  "b.attn.in_proj_bias": [3 * width],
  "b.attn.out_proj.weight": [width, width],
  "b.attn.out_proj.bias": [width],
  "b.ln_2.weight": [width],
  "b.ln_2.bias": [width],
  "b.mlp.c_fc.weight": [width, 4 * width],
  "b.mlp.c_fc.bias": [4 * width],
  "b.mlp.c_proj.weight": [4 * width, width],
  "b.mlp.c_proj.bias": [width],
};

function blockParameters(): Map<string, Float32Array> {
  return new Map(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      normals(
        name,
        shape.reduce((product, size) => product * size, 1),
        0.4,
      ),
    ]),
  );
}

const upload = (ops: Ops, values: ReadonlyMap<string, Float32Array>): Map<string, Tensor> =>
  new Map([...values].map(([name, data]) => [name, ops.tensor(data, shapes[name] ?? [data.length])]));

function causalMask(ops: Ops): Tensor {
  const mask = Float32Array.from({ length: tokens * tokens }, (_, at) =>
    at % tokens > Math.floor(at / tokens) ? -1e9 : 0,
  );
  return ops.tensor(mask, [tokens, tokens]);
}

describe.each(backends)("layers on $backend", ({ backend, loads }) => {
  const open = async (): Promise<Ops> => opsOf(await openRuntime({ backend: backend, threads: 1 }));

  it.skipIf(!loads)("products: the same whichever way their sizes make them go", async () => {
    const ops = await open();
    const values = (count: number) => Float32Array.from({ length: count }, (_, at) => ((at * 37) % 11) - 5);
    // Whole numbers, whose sums are exact in any order.
    const product = (a: Float32Array, b: Float32Array, [m, k, n]: readonly [number, number, number]) =>
      Float32Array.from({ length: m * n }, (_, at) => {
        let sum = 0;
        for (let i = 0; i < k; i++)
          sum += (a[Math.floor(at / n) * k + i] as number) * (b[i * n + (at % n)] as number);
        return sum;
      });
    for (const size of [
      [2, 48, 16],
      [24, 16, 2],
      [9, 20, 31],
      [40, 32, 24],
    ] as const) {
      const [m, k, n] = size;
      const [a, b] = [values(3 * m * k), values(3 * k * n)];
      for (const [transposeA, transposeB] of [
        [false, false],
        [false, true],
        [true, false],
        [true, true],
      ] as const) {
        ops.tidy(() => {
          const left = ops.tensor(a, [3, m, k]);
          const right = ops.tensor(b, [3, k, n]);
          const given = [
            transposeA ? ops.transpose(left, [0, 2, 1]) : left,
            transposeB ? ops.transpose(right, [0, 2, 1]) : right,
          ] as const;
          const each = read(ops, ops.batchMatMul(...given, transposeA, transposeB));
          for (let index = 0; index < 3; index++) {
            const [x, y] = given.map((all) => {
              const [, rows = 0, columns = 0] = all.shape;
              return ops.reshape(ops.slice(all, [index, 0, 0], [1, rows, columns]), [rows, columns]);
            });
            const want = product(
              a.subarray(index * m * k, (index + 1) * m * k),
              b.subarray(index * k * n, (index + 1) * k * n),
              size,
            );
            expect(each.subarray(index * m * n, (index + 1) * m * n)).toEqual(want);
            expect(read(ops, ops.matMul(x!, y!, transposeA, transposeB))).toEqual(want);
          }
        });
      }
    }
  });

  it.skipIf(backend !== "wasm")(
    "products: the same bits where a large factor is turned in parts",
    async () => {
      const ops = await open();
      const [rows, inner, columns] = [21, 1100, 1003];
      ops.tidy(() => {
        const a = ops.tensor(normals("a", rows * inner), [rows, inner]);
        const b = ops.tensor(normals("b", columns * inner), [columns, inner]);
        const whole = read(ops, ops.matMul(a, ops.transpose(b, [1, 0])));
        expect(read(ops, ops.matMul(a, b, false, true))).toEqual(whole);
      });
    },
  );

  it.skipIf(!loads)("products: all transpositions, single and batched", async () => {
    const ops = await open();
    const [a, b] = [normals("a", 2 * 3 * 4), normals("b", 2 * 4 * 5)];
    const swap = (x: Float32Array, [, r, c]: readonly [number, number, number]) =>
      Float32Array.from({ length: x.length }, (_, at) => {
        const [index, rest] = [Math.floor(at / (r * c)), at % (r * c)];
        return x[index * r * c + (rest % r) * c + Math.floor(rest / r)] as number;
      });
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        ops.tidy(() => {
          const left = transposeA ? ops.tensor(swap(a, [2, 3, 4]), [2, 4, 3]) : ops.tensor(a, [2, 3, 4]);
          const right = transposeB ? ops.tensor(swap(b, [2, 4, 5]), [2, 5, 4]) : ops.tensor(b, [2, 4, 5]);
          const got = read(ops, ops.batchMatMul(left, right, transposeA, transposeB));
          const first = (x: Tensor) =>
            ops.reshape(ops.slice(x, [0, 0, 0], [1, x.shape[1]!, x.shape[2]!]), x.shape.slice(1));
          const single = read(ops, ops.matMul(first(left), first(right), transposeA, transposeB));
          for (let i = 0; i < 3; i++) {
            for (let j = 0; j < 5; j++) {
              for (let index = 0; index < 2; index++) {
                let want = 0;
                for (let k = 0; k < 4; k++)
                  want += (a[index * 12 + i * 4 + k] as number) * (b[index * 20 + k * 5 + j] as number);
                expect(got[index * 15 + i * 5 + j]).toBeCloseTo(want, 5);
                if (index === 0) expect(single[i * 5 + j]).toBeCloseTo(want, 5);
              }
            }
          }
        });
      }
    }
  });

  it.skipIf(!loads)("large batched products", async () => {
    const ops = await open();
    const [n, d] = [100, 90];
    const a = normals("large a", 2 * n * d);
    const b = normals("large b", 2 * n * d);
    const got = ops.tidy(() =>
      read(ops, ops.batchMatMul(ops.tensor(a, [2, n, d]), ops.tensor(b, [2, n, d]), false, true)),
    );
    for (const [index, i, j] of [
      [0, 0, 0],
      [0, 99, 3],
      [1, 50, 99],
    ] as const) {
      let want = 0;
      for (let k = 0; k < d; k++)
        want += (a[(index * n + i) * d + k] as number) * (b[(index * n + j) * d + k] as number);
      expect(got[(index * n + i) * n + j]).toBeCloseTo(want, 3);
    }
  });

  it.skipIf(!loads)("signs: of the smallest numbers as well", async () => {
    const ops = await open();
    const values = Float32Array.of(0, 1e-30, -1e-30, 6e-8, -6e-8, 3, -3, 1e30);
    expect([...ops.tidy(() => read(ops, ops.sign(ops.tensor(values, [8]))))]).toEqual([
      0, 1, -1, 1, -1, 1, -1, 1,
    ]);
  });

  it.skipIf(!loads)("rows: gathered, scattered with repetition, summed", async () => {
    const ops = await open();
    ops.tidy(() => {
      const x = ops.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2]);
      const ids = ops.tensor(Int32Array.of(2, 0, 2), [3]);
      expect([...read(ops, ops.gatherRows(x, ids))]).toEqual([5, 6, 1, 2, 5, 6]);
      expect([...read(ops, ops.scatterRows(x, ids, 4))]).toEqual([3, 4, 0, 0, 6, 8, 0, 0]);
      expect([...read(ops, ops.sumRows(x))]).toEqual([9, 12]);
    });
  });

  it.skipIf(!loads)("layer norm and GELU gradients are slopes", async () => {
    const ops = await open();
    const x = normals("x", 3 * width);
    const w = normals("w", 3 * width);
    const values = blockParameters();
    const parameters = upload(ops, values);
    const normed = (at: Float32Array) =>
      weighted(
        ops.tidy(() => read(ops, layerNorm(ops, parameters, "b.ln_1", ops.tensor(at, [3, width])).y)),
        w,
      );
    const dx = ops.tidy(() => {
      const { saved } = layerNorm(ops, parameters, "b.ln_1", ops.tensor(x, [3, width]));
      const dy = ops.tensor(w, [3, width]);
      return read(ops, layerNormBackward(ops, parameters, "b.ln_1", { dy, saved, gradients: undefined }));
    });
    expectSlope(dx, x, normed, "layer norm");
    for (const quick of [false, true]) {
      const activated = (at: Float32Array) =>
        weighted(
          ops.tidy(() => read(ops, gelu(ops, ops.tensor(at, [at.length]), quick).y)),
          w,
        );
      const du = ops.tidy(() => {
        const { saved } = gelu(ops, ops.tensor(x, [x.length]), quick);
        return read(ops, geluBackward(ops, ops.tensor(w, [w.length]), saved, quick));
      });
      expectSlope(du, x, activated, quick ? "QuickGELU" : "GELU");
    }
    ops.dispose(...parameters.values());
  });

  it.skipIf(!loads)("a block's gradients are slopes, and nothing leaks", async () => {
    const ops = await open();
    const x = normals("x", batch * tokens * width);
    const w = normals("w", batch * tokens * width);
    const values = blockParameters();
    const mask = causalMask(ops);
    const shape: BlockShape = { batch, tokens, heads, mask, quickGelu: false };
    const rows = [batch * tokens, width];
    const value = (from: ReadonlyMap<string, Float32Array>, at: Float32Array) =>
      weighted(
        ops.tidy(() => {
          const parameters = upload(ops, from);
          return read(
            ops,
            block(ops, parameters, openClipBlock("b"), { x: ops.tensor(at, rows), shape, keep: "nothing" }).y,
          );
        }),
        w,
      );
    value(values, x);
    const before = ops.runtime.tf.memory().numTensors;
    const parameters = upload(ops, values);
    const input = ops.tensor(x, rows);
    const dy = ops.tensor(w, rows);
    const { y, saved } = block(ops, parameters, openClipBlock("b"), { x: input, shape, keep: "all" });
    const gradients: Gradients = new Map();
    const dx = blockBackward(ops, parameters, openClipBlock("b"), { dy, saved: saved!, shape, gradients });
    expectSlope(read(ops, dx), x, (at) => value(values, at), "x");
    expect([...gradients.keys()].toSorted()).toEqual(Object.keys(shapes).toSorted());
    for (const [name, gradient] of gradients) {
      const at = values.get(name)!;
      expectSlope(read(ops, gradient), at, (moved) => value(new Map(values).set(name, moved), x), name);
    }
    ops.dispose(input, dy, y, dx, ...parameters.values(), ...gradients.values());
    // Constants of the backward pass are made once and stay.
    expect(ops.runtime.tf.memory().numTensors - before).toBeLessThanOrEqual(4);
    mask.dispose();
  });

  it.skipIf(!loads)("a pooled block is a block whose other rows are not read", async () => {
    const ops = await open();
    const positions = [3, 1];
    const values = blockParameters();
    const x = normals("x", batch * tokens * width);
    const w = normals("pooled w", batch * width);
    for (const causal of [false, true]) {
      const parameters = upload(ops, values);
      const input = ops.tensor(x, [batch * tokens, width]);
      const mask = causal ? { mask: causalMask(ops) } : {};
      const shape: BlockShape = { batch, tokens, heads, quickGelu: true, ...mask };
      const spread = new Float32Array(x.length);
      positions.forEach((position, index) =>
        spread.set(w.subarray(index * width, (index + 1) * width), (index * tokens + position) * width),
      );
      const whole = block(ops, parameters, openClipBlock("b"), { x: input, shape, keep: "all" });
      const wholeGradients: Gradients = new Map();
      const wholeDx = blockBackward(ops, parameters, openClipBlock("b"), {
        dy: ops.tensor(spread, [batch * tokens, width]),
        saved: whole.saved!,
        shape,
        gradients: wholeGradients,
      });
      const pooling = createPooling(ops, { positions, tokens, heads, quickGelu: true, causal });
      const pooled = pooledBlock(ops, parameters, openClipBlock("b"), { x: input, pooling, keep: "all" });
      const gradients: Gradients = new Map();
      const dx = pooledBlockBackward(ops, parameters, openClipBlock("b"), {
        dy: ops.tensor(w, [batch, width]),
        saved: pooled.saved!,
        pooling,
        gradients,
      });
      const close = (got: Tensor, want: Float32Array) =>
        read(ops, got).forEach((value, at) => expect(value).toBeCloseTo(want[at] as number, 4));
      const all = read(ops, whole.y);
      close(
        pooled.y,
        Float32Array.from(
          positions.flatMap((position, index) => {
            const from = (index * tokens + position) * width;
            return [...all.subarray(from, from + width)];
          }),
        ),
      );
      close(dx, read(ops, wholeDx));
      expect([...gradients.keys()].toSorted()).toEqual([...wholeGradients.keys()].toSorted());
      for (const [name, gradient] of gradients) close(gradient, read(ops, wholeGradients.get(name)!));
      freePooling(ops, pooling);
    }
  });
});
