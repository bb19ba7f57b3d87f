import type { Tensor, Tensor1D, Tensor2D } from "@tensorflow/tfjs-core";
import type { Runtime } from "../compute/types.ts";
import type { HeadShape, HeadWeights } from "./head.ts";
import type { MatrixProduct } from "./losses/types.ts";
import type { Matrix } from "./matrix.ts";
import { meterForward } from "./meter.ts";

/** torch's BatchNorm1d defaults, which tfjs does not share. */
const batchNormEpsilon = 1e-5;
const batchNormMomentum = 0.1;

/** Rows of one forward pass outside of training. */
const chunkRows = 1024;

/** What a loss says about one batch. */
export interface PassGradient {
  /** [n, K] */
  readonly dLogits: Matrix;
  /** [n, d] from losses on the head's features; undefined for none. */
  readonly dZ: Matrix | undefined;
}

/** Gradient of each trained tensor. */
export type Gradients = Map<string, Float32Array>;

/** A head on a backend. */
export interface RunningHead {
  readonly runtime: Runtime;
  readonly shape: HeadShape;
  readonly weights: HeadWeights;
}

/**
 * One training pass: forward, the loss, backward. Batch norm uses the batch's statistics and moves its running ones.
 *
 * @param f [n, d] features
 * @param loss from Z [n, d] and logits [n, K]
 * @param wanted.dF asks for the gradient with respect to the features, for what comes before the head
 * @returns dF [n, d]: what reaches the features through Z and logits
 */
export function trainPass(
  { runtime, shape, weights }: RunningHead,
  f: Matrix,
  loss: (z: Matrix, logits: Matrix) => PassGradient,
  wanted: { readonly dF: boolean } = { dF: false },
): { readonly gradients: Gradients; readonly dF: Matrix | undefined } {
  const { tf } = runtime;
  return scoped(runtime, () => {
    const gradients: Gradients = new Map();
    const input = upload(runtime, f); // [n, d]
    const body = bodyForward(runtime, shape, weights, input, true);
    const z = body?.z ?? input; // [n, d]
    const classifier = weight(runtime, weights, "classifier.weight", shape.dim, shape.outputs);
    const logits = tf.add(tf.matMul(z, classifier), vector(runtime, weights, "classifier.bias")); // [n, K]

    const { dLogits, dZ } = loss(body ? download(body.z) : f, download(logits as Tensor2D));

    const gradient = upload(runtime, dLogits); // [n, K]
    gradients.set("classifier.weight", values(product(runtime, z, gradient, "first")));
    gradients.set("classifier.bias", values(tf.sum(gradient, 0)));
    if (!body && !wanted.dF) return { gradients, dF: undefined };
    const throughClassifier = product(runtime, gradient, classifier, "second"); // [n, d]
    const toZ = dZ ? tf.add<Tensor2D>(throughClassifier, upload(runtime, dZ)) : throughClassifier;
    const toInput = body?.backward(toZ, gradients) ?? (() => toZ);
    return { gradients, dF: wanted.dF ? download(toInput()) : undefined };
  });
}

/**
 * Z and logits with batch norm's running statistics, for any number of rows.
 *
 * @param f [N, d]
 * @returns one pair per chunk of rows, in order
 */
export function* predictChunks(
  { runtime, shape, weights }: RunningHead,
  f: Matrix,
): Generator<{ readonly start: number; readonly z: Matrix; readonly logits: Matrix }> {
  const { tf } = runtime;
  for (let start = 0; start < f.rows; start += chunkRows) {
    const rows = Math.min(chunkRows, f.rows - start);
    const chunk = { rows, cols: f.cols, data: f.data.subarray(start * f.cols, (start + rows) * f.cols) };
    yield scoped(runtime, () => {
      const input = upload(runtime, chunk);
      const body = bodyForward(runtime, shape, weights, input, false);
      const z = body?.z ?? input;
      const classifier = weight(runtime, weights, "classifier.weight", shape.dim, shape.outputs);
      const logits = tf.add(tf.matMul(z, classifier), vector(runtime, weights, "classifier.bias"));
      return { start, z: body ? download(body.z) : chunk, logits: download(logits as Tensor2D) };
    });
  }
}

/** Logits [N, K] of all rows; see `predictChunks`. */
export function predictLogits(head: RunningHead, f: Matrix): Matrix {
  const data = new Float32Array(f.rows * head.shape.outputs);
  for (const { start, logits } of predictChunks(head, f)) data.set(logits.data, start * head.shape.outputs);
  return { rows: f.rows, cols: head.shape.outputs, data };
}

/** The matrix product as the losses take it. */
export function runtimeProduct(runtime: Runtime): MatrixProduct {
  const { tf } = runtime;
  return (a, b) =>
    scoped(runtime, () => download(tf.matMul<Tensor2D>(upload(runtime, a), upload(runtime, b))));
}

/** What a head has before its classifier; undefined for a linear probe. */
function bodyForward(
  runtime: Runtime,
  shape: HeadShape,
  weights: HeadWeights,
  input: Tensor2D,
  training: boolean,
): ReturnType<typeof mlpForward> | undefined {
  if (shape.meter) return meterForward(runtime, shape, weights, input);
  return shape.hidden > 0 ? mlpForward(runtime, shape, weights, input, training) : undefined;
}

/** Z = s * M(F) + F with M = Linear, batch norm, ReLU, Linear; and the way back, on to F where it is called. */
function mlpForward(
  runtime: Runtime,
  shape: HeadShape,
  weights: HeadWeights,
  input: Tensor2D,
  training: boolean,
): { readonly z: Tensor2D; backward(dZ: Tensor2D, gradients: Gradients): () => Tensor2D } {
  const { tf } = runtime;
  const { dim, hidden } = shape;
  const first = weight(runtime, weights, "mlp.0.weight", dim, hidden);
  const linear = tf.add<Tensor2D>(tf.matMul(input, first), vector(runtime, weights, "mlp.0.bias")); // [n, h]
  const norm = shape.batchNorm ? batchNorm(runtime, weights, linear, training) : undefined;
  const active = tf.relu(norm?.output ?? linear) as Tensor2D; // [n, h]
  const second = weight(runtime, weights, "mlp.3.weight", hidden, dim);
  const output = tf.add(tf.matMul(active, second), vector(runtime, weights, "mlp.3.bias")); // [n, d]
  const scale = shape.residual ? vector(runtime, weights, "scale") : undefined;
  const z = (scale ? tf.add(tf.mul(output, scale), input) : output) as Tensor2D;

  return {
    z,
    backward(dZ, gradients) {
      if (scale) gradients.set("scale", values(tf.sum(tf.mul(dZ, output), 0)));
      const dOutput = scale ? tf.mul<Tensor2D>(dZ, scale) : dZ; // [n, d]
      gradients.set("mlp.3.weight", values(product(runtime, active, dOutput, "first")));
      gradients.set("mlp.3.bias", values(tf.sum(dOutput, 0)));
      const dActive = product(runtime, dOutput, second, "second"); // [n, h]
      const dNorm = tf.mul<Tensor2D>(dActive, tf.step(active));
      const dLinear = norm ? norm.backward(dNorm, gradients) : dNorm;
      gradients.set("mlp.0.weight", values(product(runtime, input, dLinear, "first")));
      gradients.set("mlp.0.bias", values(tf.sum(dLinear, 0)));
      // Only what trains its features as well needs this product.
      return () => {
        const dInput = product(runtime, dLinear, first, "second"); // [n, d]
        return shape.residual ? tf.add<Tensor2D>(dInput, dZ) : dInput;
      };
    },
  };
}

/** Batch norm over rows, as torch's BatchNorm1d: biased variance in the batch, unbiased in the running one. */
function batchNorm(
  runtime: Runtime,
  weights: HeadWeights,
  x: Tensor2D, // [n, h]
  training: boolean,
): { readonly output: Tensor; backward(dOutput: Tensor2D, gradients: Gradients): Tensor2D } {
  const { tf } = runtime;
  const n = x.shape[0];
  const gamma = vector(runtime, weights, "mlp.1.weight");
  const beta = vector(runtime, weights, "mlp.1.bias");
  const mean = training ? tf.mean(x, 0) : vector(runtime, weights, "mlp.1.running_mean"); // [h]
  const centred = tf.sub(x, mean);
  const variance = training ? tf.mean(tf.square(centred), 0) : vector(runtime, weights, "mlp.1.running_var");
  const inverse = tf.rsqrt(tf.add(variance, batchNormEpsilon)); // [h]
  const unit = tf.mul(centred, inverse); // [n, h]
  if (training) {
    moveStatistic(weights.get("mlp.1.running_mean"), values(mean), 1);
    moveStatistic(weights.get("mlp.1.running_var"), values(variance), n / (n - 1));
  }
  return {
    output: tf.add(tf.mul(unit, gamma), beta),
    backward(dOutput, gradients) {
      const dBeta = tf.sum(dOutput, 0);
      const dGamma = tf.sum(tf.mul(dOutput, unit), 0);
      gradients.set("mlp.1.weight", values(dGamma));
      gradients.set("mlp.1.bias", values(dBeta));
      const spread = tf.add(tf.mul(unit, tf.div(dGamma, n)), tf.div(dBeta, n));
      return tf.mul<Tensor2D>(tf.sub(dOutput, spread), tf.mul(gamma, inverse));
    },
  };
}

function moveStatistic(running: Float32Array | undefined, batch: Float32Array, correction: number): void {
  if (!running) throw new Error("internal error: batch norm without running statistics");
  for (let i = 0; i < running.length; i++) {
    running[i] =
      (1 - batchNormMomentum) * (running[i] as number) +
      batchNormMomentum * correction * (batch[i] as number);
  }
}

/** A product with one factor transposed; written out on `wasm`, whose transpose flags are many times slower. */
function product(runtime: Runtime, a: Tensor2D, b: Tensor2D, transposed: "first" | "second"): Tensor2D {
  const { tf } = runtime;
  const first = transposed === "first";
  if (runtime.backend === "wasm") {
    return tf.matMul<Tensor2D>(first ? tf.transpose(a) : a, first ? b : tf.transpose(b));
  }
  return tf.matMul<Tensor2D>(a, b, first, !first);
}

/** Disposes every tensor that `work` made; what it returns holds none. */
function scoped<T>({ tf }: Runtime, work: () => T): T {
  tf.engine().startScope();
  try {
    return work();
  } finally {
    tf.engine().endScope();
  }
}

function upload({ tf }: Runtime, { rows, cols, data }: Matrix): Tensor2D {
  return tf.tensor2d(data instanceof Float32Array ? data : Float32Array.from(data), [rows, cols]);
}

function download(tensor: Tensor2D): Matrix {
  return { rows: tensor.shape[0], cols: tensor.shape[1], data: values(tensor) };
}

function values(tensor: Tensor): Float32Array {
  return tensor.dataSync() as Float32Array;
}

function weight(runtime: Runtime, weights: HeadWeights, name: string, rows: number, cols: number): Tensor2D {
  return runtime.tf.tensor2d(named(weights, name), [rows, cols]);
}

function vector(runtime: Runtime, weights: HeadWeights, name: string): Tensor1D {
  return runtime.tf.tensor1d(named(weights, name));
}

function named(weights: HeadWeights, name: string): Float32Array {
  const data = weights.get(name);
  if (!data) throw new Error(`internal error: the head has no tensor ${name}`);
  return data;
}
