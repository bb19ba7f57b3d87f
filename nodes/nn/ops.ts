import type { NamedAttrMap, NamedTensorMap, Tensor } from "@tensorflow/tfjs-core";
import type { Runtime } from "../compute/types.ts";
import { nativeOf } from "./native.ts";
import { imageOps } from "./image-ops.ts";
import type { ImageOps } from "./image-ops.ts";
import { wasmProducts } from "./wasm-products.ts";

export type { Tensor };

/**
 * Tensor operations as layers use them: kernels called directly, without tape, type promotion or per-op scopes,
 * in the formulation that is fastest on the runtime's backend. All tensors are float32 unless said otherwise; the
 * caller owns every result (`tidy` and `dispose` free them).
 */
export interface Ops extends ImageOps {
  readonly runtime: Runtime;
  /** op(a) · op(b) of two matrices. */
  matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  /** op(a_i) · op(b_i) for each i of two [n, rows, columns] tensors. */
  batchMatMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  sub(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, b: Tensor): Tensor;
  div(a: Tensor, b: Tensor): Tensor;
  square(x: Tensor): Tensor;
  sqrt(x: Tensor): Tensor;
  rsqrt(x: Tensor): Tensor;
  exp(x: Tensor): Tensor;
  erf(x: Tensor): Tensor;
  sigmoid(x: Tensor): Tensor;
  tanh(x: Tensor): Tensor;
  relu(x: Tensor): Tensor;
  /** The way back through `relu`, by its result: dy where y is above 0. */
  reluBackward(dy: Tensor, y: Tensor): Tensor;
  /** -1, 0 or 1; 0 for exactly 0 alone. */
  sign(x: Tensor): Tensor;
  minimum(a: Tensor, b: Tensor): Tensor;
  maximum(a: Tensor, b: Tensor): Tensor;
  /** Values below `low` become `low`, above `high` become `high`. */
  clip(x: Tensor, low: number, high: number): Tensor;
  /** Softmax over the last axis. */
  softmax(x: Tensor): Tensor;
  /** Largest value over the last axis, which stays as 1. */
  maxLast(x: Tensor): Tensor;
  /** Sum over the last axis, which stays as 1. */
  sumLast(x: Tensor): Tensor;
  /** Mean over the last axis, which stays as 1. */
  meanLast(x: Tensor): Tensor;
  /** Sums of the columns of a matrix: [m, n] -> [n]. */
  sumRows(x: Tensor): Tensor;
  transpose(x: Tensor, permutation: readonly number[]): Tensor;
  /** A view: shares the values, is freed on its own. */
  reshape(x: Tensor, shape: readonly number[]): Tensor;
  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor;
  concat(parts: readonly Tensor[], axis: number): Tensor;
  /** Zeros around `x`: [before, after] per axis. */
  pad(x: Tensor, paddings: readonly (readonly [number, number])[]): Tensor;
  /** Rows of a matrix by int32 ids [n]. */
  gatherRows(x: Tensor, ids: Tensor): Tensor;
  /** The transpose of `gatherRows`: row i of `x` is added to row ids[i] of a zero matrix of `count` rows. */
  scatterRows(x: Tensor, ids: Tensor, count: number): Tensor;
  tensor(values: Float32Array | Int32Array, shape: readonly number[]): Tensor;
  /** A constant, made once and kept as long as the process. */
  scalar(value: number): Tensor;
  read(x: Tensor): Float32Array;
  /** Frees every tensor made inside, but for those in the result. */
  tidy<T>(work: () => T): T;
  dispose(...tensors: readonly (Tensor | undefined)[]): void;
  /** Frees every tensor in a nested object, but for one that belongs to somebody else. */
  free(container: object, except?: Tensor): void;
}

/** Below it, a call of the library takes longer than what it computes. */
const fewNumbers = 2 ** 12;

const known = new WeakMap<Runtime, Ops>();

/** The operations of a runtime; the same object each time. */
export function opsOf(runtime: Runtime): Ops {
  const found = known.get(runtime) ?? createOps(runtime);
  known.set(runtime, found);
  return found;
}

function createOps(runtime: Runtime): Ops {
  const { tf } = runtime;
  const engine = tf.engine();
  const isWasm = runtime.backend === "wasm";
  const native = nativeOf(runtime);
  const isNative = native !== undefined;
  const scalars = new Map<number, Tensor>();

  const run = (kernel: string, inputs: object, attributes?: object): Tensor =>
    engine.runKernel<Tensor>(kernel, inputs as NamedTensorMap, attributes as NamedAttrMap | undefined);

  const product: Ops["batchMatMul"] = (a, b, transposeA = false, transposeB = false) =>
    run("BatchMatMul", { a, b }, { transposeA, transposeB });

  // MatMul is a twentieth faster than BatchMatMulV2, which is what tfjs calls.
  const nativeMatMul: Ops["matMul"] | undefined =
    native &&
    ((a, b, transposeA = false, transposeB = false) =>
      native.tensor(
        "MatMul",
        [
          native.attribute.float("T"),
          native.attribute.bool("transpose_a", transposeA),
          native.attribute.bool("transpose_b", transposeB),
        ],
        [a, b],
      ));

  const transpose: Ops["transpose"] = (x, permutation) => run("Transpose", { x }, { perm: permutation });
  const reshape: Ops["reshape"] = (x, shape) => run("Reshape", { x }, { shape });
  const slice: Ops["slice"] = (x, begin, size) => run("Slice", { x }, { begin, size });
  const concat: Ops["concat"] = (parts, axis) => run("Concat", parts, { axis });
  const pad: Ops["pad"] = (x, paddings) => run("PadV2", { x }, { paddings, constantValue: 0 });
  // tf.tidy would look for tensors among the numbers of typed arrays, one by one.
  const tidy: Ops["tidy"] = (work) => {
    let kept: Tensor[] = [];
    engine.startScope();
    try {
      const result = work();
      kept = tensorsIn(result);
      return result;
    } finally {
      engine.endScope(kept);
    }
  };
  const tensorsIn = (value: unknown): Tensor[] => {
    if (value instanceof tf.Tensor) return [value];
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return [];
    return Object.values(value).flatMap(tensorsIn);
  };
  const tensor: Ops["tensor"] = (values, shape) =>
    tf.tensor(values, shape as number[], values instanceof Int32Array ? "int32" : "float32");
  const read: Ops["read"] = (x) => x.dataSync() as Float32Array;
  const dispose: Ops["dispose"] = (...tensors) => {
    for (const item of tensors) item?.dispose();
  };

  /** Column sums outside the backend: the reduction of wasm runs over the last axis only. */
  const hostSumRows: Ops["sumRows"] = (x) => {
    const [rows = 0, columns = 0] = x.shape;
    const values = read(x);
    const sums = new Float64Array(columns);
    for (let row = 0, at = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, at++) {
        sums[column] = (sums[column] as number) + (values[at] as number);
      }
    }
    return tensor(Float32Array.from(sums), [columns]);
  };

  /** As a product: TensorFlow's own sum over rows takes three times as long. A few numbers are faster summed here. */
  const nativeSumRows: Ops["sumRows"] = (x) => {
    const [rows = 0, columns = 0] = x.shape;
    if (x.size < fewNumbers) return hostSumRows(x);
    const ones = run("Fill", {}, { shape: [1, rows], value: 1, dtype: "float32" });
    const sums = matMul(ones, x);
    const result = reshape(sums, [columns]);
    dispose(ones, sums);
    return result;
  };

  /** Row sums by id outside the backend: wasm has no kernel for it. */
  const hostScatterRows: Ops["scatterRows"] = (x, ids, count) => {
    const [, columns = 0] = x.shape;
    const values = read(x);
    const targets = ids.dataSync();
    const result = new Float32Array(count * columns);
    for (let row = 0, at = 0; row < targets.length; row++) {
      const target = (targets[row] as number) * columns;
      for (let column = 0; column < columns; column++, at++) {
        result[target + column] = (result[target + column] as number) + (values[at] as number);
      }
    }
    return tensor(result, [count, columns]);
  };

  // The wasm kernel calls everything below 1.2e-7 zero. Twice, since one factor does not lift the smallest numbers to 1.
  const wasmSign: Ops["sign"] = (x) => {
    const lifted = (value: Tensor): Tensor => {
      const scaled = run("Multiply", { a: value, b: scalar(2 ** 127) });
      const clipped = run("ClipByValue", { x: scaled }, { clipValueMin: -1, clipValueMax: 1 });
      scaled.dispose();
      return clipped;
    };
    const once = lifted(x);
    const twice = lifted(once);
    once.dispose();
    return twice;
  };

  const scalar = (value: number): Tensor => {
    const found = scalars.get(value);
    if (found) return found;
    const made = tf.keep(tf.scalar(value, "float32"));
    scalars.set(value, made);
    return made;
  };

  const { matMul, batchMatMul } = isWasm
    ? wasmProducts({ run, concat, transpose, tidy })
    : { matMul: nativeMatMul ?? product, batchMatMul: product };

  return {
    runtime,
    ...imageOps({ run, isWasm, matMul, reshape, slice, transpose, concat, pad, tidy }),
    matMul,
    batchMatMul,
    add: (a, b) => run("Add", { a, b }),
    sub: (a, b) => run("Sub", { a, b }),
    mul: (a, b) => run("Multiply", { a, b }),
    div: (a, b) => run("RealDiv", { a, b }),
    square: (x) => run("Square", { x }),
    sqrt: (x) => run("Sqrt", { x }),
    rsqrt: (x) => run("Rsqrt", { x }),
    exp: (x) => run("Exp", { x }),
    erf: (x) => run("Erf", { x }),
    sigmoid: (x) => run("Sigmoid", { x }),
    tanh: (x) => run("Tanh", { x }),
    relu: (x) => run("Relu", { x }),
    reluBackward: native
      ? (dy, y) => native.tensor("ReluGrad", [native.attribute.float("T")], [dy, y])
      : (dy, y) => {
          const slope = run("Step", { x: y }, { alpha: 0 });
          const dx = run("Multiply", { a: dy, b: slope });
          slope.dispose();
          return dx;
        },
    sign: isWasm ? wasmSign : (x) => run("Sign", { x }),
    minimum: (a, b) => run("Minimum", { a, b }),
    maximum: (a, b) => run("Maximum", { a, b }),
    clip: (x, low, high) => run("ClipByValue", { x }, { clipValueMin: low, clipValueMax: high }),
    softmax: (logits) => run("Softmax", { logits }, { dim: logits.rank - 1 }),
    maxLast: (x) => run("Max", { x }, { reductionIndices: [x.rank - 1], keepDims: true }),
    sumLast: (x) => run("Sum", { x }, { axis: [x.rank - 1], keepDims: true }),
    meanLast: (x) => run("Mean", { x }, { axis: [x.rank - 1], keepDims: true }),
    sumRows: isNative ? nativeSumRows : hostSumRows,
    transpose,
    reshape,
    slice,
    concat,
    pad,
    gatherRows: (x, indices) => run("GatherV2", { x, indices }, { axis: 0, batchDims: 0 }),
    scatterRows: isNative
      ? (x, segmentIds, numSegments) => run("UnsortedSegmentSum", { x, segmentIds }, { numSegments })
      : hostScatterRows,
    tensor,
    scalar,
    read,
    tidy,
    dispose,
    free(container, except) {
      for (const item of tensorsIn(container)) if (item !== except) item.dispose();
    },
  };
}
