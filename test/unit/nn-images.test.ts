import { describe, expect, it } from "vitest";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import { attentionPool, attentionPoolBackward } from "../../nodes/nn/attention-pool.ts";
import { linearNames } from "../../nodes/nn/block-names.ts";
import { bottleneck, bottleneckBackward } from "../../nodes/nn/bottleneck.ts";
import { convNorm, convNormBackward } from "../../nodes/nn/conv-norm.ts";
import type { RunningUpdates } from "../../nodes/nn/conv-norm.ts";
import { opsOf } from "../../nodes/nn/ops.ts";
import type { Ops, Tensor } from "../../nodes/nn/ops.ts";
import type { Gradients, Keep, Parameters } from "../../nodes/nn/parameters.ts";
import { postNormBlock, postNormBlockBackward } from "../../nodes/nn/post-norm-block.ts";
import type { PostNormNames, PostNormShape } from "../../nodes/nn/post-norm-block.ts";
import { backends, expectSlope, normals, read, weighted } from "../rig/slopes.ts";

type Shapes = Readonly<Record<string, readonly number[]>>;

/** A layer with its way back, as the checks below call it. */
interface Layer<Saved> {
  readonly shapes: Shapes;
  /** Parameters that are not trained. */
  readonly fixed?: readonly string[];
  readonly input: readonly number[];
  forward(ops: Ops, parameters: Parameters, x: Tensor, keep: Keep): { y: Tensor; saved: Saved | undefined };
  backward(
    ops: Ops,
    parameters: Parameters,
    saved: Saved,
    dy: Tensor,
    gradients: Gradients | undefined,
  ): Tensor;
}

const size = (shape: readonly number[]): number => shape.reduce((product, one) => product * one, 1);

/** Values of parameters; norms shift half of the channels far up and half far down, so that no ReLU turns near 0. */
function valuesOf(shapes: Shapes): Map<string, Float32Array> {
  return new Map(
    Object.entries(shapes).map(([name, shape]) => {
      const values = normals(name, size(shape), 0.4);
      if (name.endsWith("running_var")) return [name, values.map((value) => 1 + Math.abs(value))];
      if (/(bn\d|norm|downsample\.1)\.bias$/.test(name))
        return [name, values.map((value, at) => value + (at % 3 === 0 ? -9 : 9))];
      return [name, values];
    }),
  );
}

function checkLayer<Saved extends object>(ops: Ops, layer: Layer<Saved>): void {
  const { shapes, input } = layer;
  const values = valuesOf(shapes);
  const x = normals("x", size(input));
  const upload = (from: ReadonlyMap<string, Float32Array>) =>
    new Map([...from].map(([name, data]) => [name, ops.tensor(data, shapes[name] ?? [])]));
  const shapeOfResult = ops.tidy(
    () => layer.forward(ops, upload(values), ops.tensor(x, input), "nothing").y.shape,
  );
  const w = normals("w", size(shapeOfResult), 0.3);
  const value = (from: ReadonlyMap<string, Float32Array>, at: Float32Array): number =>
    weighted(
      ops.tidy(() => read(ops, layer.forward(ops, upload(from), ops.tensor(at, input), "nothing").y)),
      w,
    );

  const parameters = upload(values);
  const image = ops.tensor(x, input);
  const dy = ops.tensor(w, shapeOfResult);
  const before = ops.runtime.tf.memory().numTensors;
  const gradients: Gradients = new Map();
  for (const [keep, into] of [
    ["input", undefined],
    ["all", gradients],
  ] as const) {
    const { dx, y } = ops.tidy(() => {
      const pass = layer.forward(ops, parameters, image, keep);
      const dinput = layer.backward(ops, parameters, pass.saved!, dy, into);
      ops.free(pass.saved!, image);
      return { dx: dinput, y: pass.y, kept: [...gradients.values()] };
    });
    expectSlope(read(ops, dx), x, (at) => value(values, at), `x, keeping ${keep}`);
    ops.dispose(dx, y);
  }
  const fixed = new Set(layer.fixed);
  expect([...gradients.keys()].toSorted()).toEqual(
    Object.keys(shapes)
      .filter((name) => !fixed.has(name))
      .toSorted(),
  );
  for (const [name, gradient] of gradients) {
    const at = values.get(name)!;
    expectSlope(read(ops, gradient), at, (moved) => value(new Map(values).set(name, moved), x), name);
  }
  ops.dispose(...gradients.values());
  // Constants are made once and stay.
  expect(ops.runtime.tf.memory().numTensors - before).toBeLessThanOrEqual(6);
  ops.dispose(image, dy, ...parameters.values());
}

/** Shapes of a convolution and its norm, in compute layout. */
const convolution = (conv: string, norm: string, [inner, out, side]: readonly number[]): Shapes => ({
  [`${conv}.weight`]: [side! * side! * inner!, out!],
  [`${norm}.weight`]: [out!],
  [`${norm}.bias`]: [out!],
  [`${norm}.running_mean`]: [out!],
  [`${norm}.running_var`]: [out!],
});

const running = (shapes: Shapes): string[] => Object.keys(shapes).filter((name) => name.includes("running_"));

describe.each(backends)("image and post-norm layers on $backend", ({ backend, loads }) => {
  const open = async (): Promise<Ops> => opsOf(await openRuntime({ backend, threads: 1 }));

  it.skipIf(!loads)("convolutions: of both sizes and strides, at odd sides, with rims of zeros", async () => {
    const ops = await open();
    const [height, width, inner, out] = [5, 4, 2, 3];
    const x = normals("x", height * width * inner);
    for (const [side, stride] of [
      [1, 1],
      [3, 1],
      [3, 2],
    ] as const) {
      const filter = normals(`filter ${side}`, side * side * inner * out);
      const got = ops.tidy(() =>
        ops.convolve(
          ops.tensor(x, [1, height, width, inner]),
          ops.tensor(filter, [side * side * inner, out]),
          { size: side, stride },
        ),
      );
      const [, rows = 0, columns = 0] = got.shape;
      expect([rows, columns]).toEqual([Math.ceil(height / stride), Math.ceil(width / stride)]);
      const values = read(ops, got);
      got.dispose();
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          for (let channel = 0; channel < out; channel++) {
            let want = 0;
            for (let at = 0; at < side * side * inner; at++) {
              const y = row * stride + Math.floor(at / (side * inner)) - (side - 1) / 2;
              const z = column * stride + (Math.floor(at / inner) % side) - (side - 1) / 2;
              if (y < 0 || z < 0 || y >= height || z >= width) continue;
              want += x[(y * width + z) * inner + (at % inner)]! * filter[at * out + channel]!;
            }
            expect(values[(row * columns + column) * out + channel]).toBeCloseTo(want, 4);
          }
        }
      }
    }
  });

  for (const [side, stride] of [
    [1, 1],
    [3, 1],
    [3, 2],
  ] as const) {
    for (const statistics of ["running", "batch"] as const) {
      it.skipIf(!loads)(
        `a ${side} x ${side} convolution of stride ${stride} with its norm by ${statistics} statistics`,
        async () => {
          const shapes = convolution("conv", "norm", [2, 4, side]);
          const shape = { size: side, stride, relu: true } as const;
          const names = { conv: "conv", norm: "norm" };
          checkLayer(await open(), {
            shapes,
            fixed: running(shapes),
            input: [2, 5, 4, 2],
            forward(ops, parameters, x, keep) {
              const updates: RunningUpdates | undefined = statistics === "batch" ? new Map() : undefined;
              const result = convNorm(ops, parameters, names, { x, shape, keep, updates });
              ops.dispose(...(updates?.values() ?? []));
              return result;
            },
            backward: (ops, parameters, saved, dy, gradients) =>
              convNormBackward(ops, parameters, names, { dy, saved, shape, gradients }),
          });
        },
      );
    }
  }

  it.skipIf(!loads)("running statistics move by a tenth towards the batch's", async () => {
    const ops = await open();
    const shapes = convolution("conv", "norm", [1, 1, 1]);
    const values = new Map([...valuesOf(shapes)].map(([name, data]) => [name, data.fill(1)]));
    const updates: RunningUpdates = new Map();
    ops.tidy(() => {
      const parameters = new Map([...values].map(([name, data]) => [name, ops.tensor(data, shapes[name]!)]));
      convNorm(
        ops,
        parameters,
        { conv: "conv", norm: "norm" },
        {
          x: ops.tensor(Float32Array.of(1, 3, 5, 7), [1, 2, 2, 1]),
          shape: { size: 1, stride: 1, relu: false },
          keep: "nothing",
          updates,
        },
      );
      return [...updates.values()];
    });
    // Mean 4; variance 20/3, over n - 1.
    expect(read(ops, updates.get("norm.running_mean")!)[0]).toBeCloseTo(0.9 + 0.4, 5);
    expect(read(ops, updates.get("norm.running_var")!)[0]).toBeCloseTo(0.9 + 2 / 3, 5);
    ops.dispose(...updates.values());
  });

  it.skipIf(!loads).each([
    { halves: false, convolvesShortcut: false },
    { halves: false, convolvesShortcut: true },
    { halves: true, convolvesShortcut: true },
  ])("a bottleneck, %o", async (shape) => {
    const shapes = {
      ...convolution("b.conv1", "b.bn1", [8, 2, 1]),
      ...convolution("b.conv2", "b.bn2", [2, 2, 3]),
      ...convolution("b.conv3", "b.bn3", [2, 8, 1]),
      ...(shape.convolvesShortcut && convolution("b.downsample.0", "b.downsample.1", [8, 8, 1])),
    };
    checkLayer(await open(), {
      shapes,
      fixed: running(shapes),
      // An odd side: what is left of it is not pooled.
      input: [2, 4, 5, 8],
      forward: (ops, parameters, x, keep) =>
        bottleneck(ops, parameters, "b", { x, shape, keep, updates: undefined }),
      backward: (ops, parameters, saved, dy, gradients) =>
        bottleneckBackward(ops, parameters, "b", { dy, saved, gradients }),
    });
  });

  it.skipIf(!loads)("attention pooling", async () => {
    const linear = (name: string, inner: number, out: number): Shapes => ({
      [`p.${name}_proj.weight`]: [inner, out],
      [`p.${name}_proj.bias`]: [out],
    });
    checkLayer(await open(), {
      shapes: {
        "p.positional_embedding": [7, 4],
        ...linear("q", 4, 4),
        ...linear("k", 4, 4),
        ...linear("v", 4, 4),
        ...linear("c", 4, 3),
      },
      input: [2, 2, 3, 4],
      forward: (ops, parameters, x, keep) => attentionPool(ops, parameters, "p", { map: x, heads: 2, keep }),
      backward: (ops, parameters, saved, dy, gradients) =>
        attentionPoolBackward(ops, parameters, "p", { dy, saved, gradients }),
    });
  });

  it.skipIf(!loads)("a post-norm block, padding masked", async () => {
    const ops = await open();
    const [batch, tokens, heads, width] = [2, 3, 2, 4];
    const names: PostNormNames = {
      attention: {
        query: linearNames("query"),
        key: linearNames("key"),
        value: linearNames("value"),
        out: linearNames("out"),
        norm: "first",
      },
      mlp: { fc: linearNames("fc"), proj: linearNames("proj"), norm: "second" },
    };
    const mask = new Float32Array(batch * heads * tokens);
    mask.fill(-1e9, mask.length - 1);
    const maskTensor = ops.tensor(mask, [batch * heads, 1, tokens]);
    const shape: PostNormShape = { batch, tokens, heads, mask: maskTensor, epsilon: 1e-12 };
    const shapes: Record<string, readonly number[]> = {};
    for (const name of ["query", "key", "value", "out", "fc", "proj"]) {
      const [inner, out] = name === "fc" ? [width, 6] : name === "proj" ? [6, width] : [width, width];
      shapes[`${name}.weight`] = [inner, out];
      shapes[`${name}.bias`] = [out];
    }
    for (const name of ["first", "second"]) {
      shapes[`${name}.weight`] = [width];
      shapes[`${name}.bias`] = [width];
    }
    checkLayer(ops, {
      shapes,
      input: [batch * tokens, width],
      forward: (_, parameters, x, keep) => postNormBlock(ops, parameters, names, { x, shape, keep }),
      backward: (_, parameters, saved, dy, gradients) => {
        // The block frees its input, which is used again here.
        const { linearInputs: inputs } = saved.attention;
        const view = (x: Tensor): Tensor => ops.reshape(x, x.shape);
        const own = inputs && { ...inputs, x: view(inputs.x), context: view(inputs.context) };
        const kept = { ...saved, attention: { ...saved.attention, ...(own && { linearInputs: own }) } };
        return postNormBlockBackward(ops, parameters, names, { dy, saved: kept, shape, gradients });
      },
    });
    maskTensor.dispose();
  });
});
