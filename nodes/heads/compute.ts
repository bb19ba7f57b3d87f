import type { Runtime } from "../compute/types.ts";
import { linearNames } from "../nn/block-names.ts";
import { linear, linearBackward, linearGradients } from "../nn/linear.ts";
import { opsOf, type Ops, type Tensor } from "../nn/ops.ts";
import type { Gradients } from "../nn/parameters.ts";
import { headTensors, isTrained, type HeadShape, type HeadWeights } from "./head.ts";
import type { MatrixProduct } from "./losses/types.ts";
import type { Matrix } from "./matrix.ts";
import { meterForward } from "./meter.ts";
import { mlpForward } from "./mlp.ts";

/** Rows of one forward pass outside of training: few enough for what lies between layers to stay in a cache. */
const chunkRows = 256;

const classifier = linearNames("classifier");

/** A head on a backend. */
export interface RunningHead {
  readonly ops: Ops;
  readonly shape: HeadShape;
  /** What the optimiser trains, by name. */
  readonly parameters: Map<string, Tensor>;
  /** Batch norm's running statistics, which a training pass moves in place. */
  readonly statistics: HeadWeights;
}

/** What a head has before its classifier. */
export interface BodyPass {
  /** [n, d] */
  readonly z: Tensor;
  /** The way back; what it returns goes on to F where it is called. */
  backward(dZ: Tensor, gradients: Gradients): () => Tensor;
}

/** What a loss says about one batch. */
export interface PassGradient {
  /** [n, K] */
  readonly dLogits: Matrix;
  /** [n, d] from losses on the head's features; undefined for none. */
  readonly dZ: Matrix | undefined;
}

/**
 * Puts a head on a backend. Its parameters stay until somebody frees them.
 *
 * @param weights the head's tensors, and learned centroids [k, d] where there are any
 */
export function uploadHead(runtime: Runtime, shape: HeadShape, weights: HeadWeights): RunningHead {
  const ops = opsOf(runtime);
  const shapes = headTensors(shape);
  const parameters = new Map<string, Tensor>();
  const statistics = new Map<string, Float32Array>();
  for (const [name, data] of weights) {
    if (!isTrained(name)) statistics.set(name, data);
    else {
      const size = shapes.get(name) ?? [data.length / shape.dim, shape.dim];
      parameters.set(name, runtime.tf.keep(ops.tensor(data, size)));
    }
  }
  return { ops, shape, parameters, statistics };
}

/**
 * One training pass, in the caller's scope: forward, the loss, backward. Batch norm uses the batch's statistics and
 * moves its running ones.
 *
 * @param f [n, d] features
 * @param loss from Z [n, d] and logits [n, K]
 * @param wanted.dF asks for the gradient with respect to the features, for what comes before the head
 * @returns dF [n, d]: what reaches the features through Z and logits
 */
export function trainPass(
  head: RunningHead,
  f: Matrix,
  loss: (z: Matrix, logits: Matrix) => PassGradient,
  wanted: { readonly dF: boolean } = { dF: false },
): { readonly gradients: Gradients; readonly dF: Matrix | undefined } {
  const { ops, parameters } = head;
  const gradients: Gradients = new Map();
  const input = upload(ops, f); // [n, d]
  const body = bodyForward(head, input, true);
  const x = body?.z ?? input; // [n, d]
  const logits = linear(ops, parameters, classifier, x); // [n, K]

  const { dLogits, dZ } = loss(body ? download(ops, body.z) : f, download(ops, logits));

  const dy = upload(ops, dLogits); // [n, K]
  if (!body && !wanted.dF) {
    linearGradients(ops, classifier, { dy, x, gradients });
    return { gradients, dF: undefined };
  }
  const throughClassifier = linearBackward(ops, parameters, classifier, { dy, x, gradients }); // [n, d]
  const toZ = dZ ? ops.add(throughClassifier, upload(ops, dZ)) : throughClassifier;
  const toInput = body?.backward(toZ, gradients) ?? (() => toZ);
  return { gradients, dF: wanted.dF ? download(ops, toInput()) : undefined };
}

/**
 * Z and logits with batch norm's running statistics, for any number of rows.
 *
 * @param f [N, d]
 * @returns one pair per chunk of rows, in order
 */
export function* predictChunks(
  head: RunningHead,
  f: Matrix,
): Generator<{ readonly start: number; readonly z: Matrix; readonly logits: Matrix }> {
  const { ops, parameters } = head;
  for (let start = 0; start < f.rows; start += chunkRows) {
    const rows = Math.min(chunkRows, f.rows - start);
    const chunk = { rows, cols: f.cols, data: f.data.subarray(start * f.cols, (start + rows) * f.cols) };
    yield ops.tidy(() => {
      const input = upload(ops, chunk);
      const body = bodyForward(head, input, false);
      const logits = linear(ops, parameters, classifier, body?.z ?? input);
      return { start, z: body ? download(ops, body.z) : chunk, logits: download(ops, logits) };
    });
  }
}

/** Logits [N, K] of all rows, by a head that is put on the backend for them; see `predictChunks`. */
export function predictLogits(
  {
    runtime,
    shape,
    weights,
  }: { readonly runtime: Runtime; readonly shape: HeadShape; readonly weights: HeadWeights },
  f: Matrix,
): Matrix {
  const head = uploadHead(runtime, shape, weights);
  const data = new Float32Array(f.rows * shape.outputs);
  try {
    for (const { start, logits } of predictChunks(head, f)) data.set(logits.data, start * shape.outputs);
  } finally {
    head.ops.dispose(...head.parameters.values());
  }
  return { rows: f.rows, cols: shape.outputs, data };
}

/** The matrix product as the losses take it. */
export function runtimeProduct(runtime: Runtime): MatrixProduct {
  const ops = opsOf(runtime);
  return (a, b) => ops.tidy(() => download(ops, ops.matMul(upload(ops, a), upload(ops, b))));
}

/** What a head has before its classifier; undefined for a linear probe. */
function bodyForward(head: RunningHead, input: Tensor, training: boolean): BodyPass | undefined {
  if (head.shape.meter) return meterForward(head, input);
  return head.shape.hidden > 0 ? mlpForward(head, input, training) : undefined;
}

function upload(ops: Ops, { rows, cols, data }: Matrix): Tensor {
  return ops.tensor(data instanceof Float32Array ? data : new Float32Array(data), [rows, cols]);
}

function download(ops: Ops, tensor: Tensor): Matrix {
  const [rows = 0, cols = 0] = tensor.shape;
  return { rows, cols, data: ops.read(tensor) };
}
