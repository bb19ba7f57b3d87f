import type { Runtime } from "../compute/types.ts";
import type { AdamWOptions } from "../nn/adamw.ts";
import { parameter, type Gradients } from "../nn/parameters.ts";
import { randomStream } from "../random.ts";
import { predictChunks, runtimeProduct, trainPass } from "./compute.ts";
import type { HeadShape, HeadWeights } from "./head.ts";
import type { CentroidSource } from "./losses/adversarial.ts";
import type { Centroids } from "./losses/centroids.ts";
import { gatherRows, transpose, type Matrix } from "./matrix.ts";
import {
  centroidCount,
  classifierCentroids,
  initialCentroids,
  objective,
  type ObjectiveOptions,
  type ObjectiveValue,
} from "./objective.ts";
import { trainedHead, type TrainedHead } from "./trained-head.ts";

/** torch's. METHOD 8.1. */
const adamw = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/** Name of the learned centroids among the trained tensors. */
const learnedCentroids = "centroids";

const classifierWeight = "classifier.weight";

export interface TrainingData {
  /** [N, d] */
  readonly features: Matrix;
  /** [N, K], or [N] for single-label. */
  readonly labels: Int32Array;
}

/** What is trained, and by which loss. */
export interface HeadOptions {
  readonly shape: HeadShape;
  readonly objective: ObjectiveOptions;
}

export interface TrainingOptions extends HeadOptions {
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** All that a step changes: what a checkpoint keeps. The head is freed with `head.trained.dispose`. */
export interface TrainingState {
  /** Steps taken. */
  step: number;
  readonly head: TrainedHead;
  /** Running centroids; undefined where L_ADV does not use them. */
  centroids: Centroids | undefined;
}

/** What one step reports. */
export interface StepReport {
  readonly epoch: number;
  readonly loss: number;
  readonly terms: Readonly<Record<string, number>>;
  readonly learningRate: number;
}

/** Where each batch of an epoch begins and ends: the last partial batch is kept, unless batch norm sees one row. */
export function batchBounds(
  rows: number,
  { batchSize, shape }: Pick<TrainingOptions, "batchSize" | "shape">,
): readonly (readonly [start: number, end: number])[] {
  const bounds: [number, number][] = [];
  for (let start = 0; start < rows; start += batchSize) {
    bounds.push([start, Math.min(start + batchSize, rows)]);
  }
  const needed = shape.hidden > 0 && shape.batchNorm ? 2 : 1;
  return bounds.filter(([start, end]) => end - start >= needed);
}

/** Cosine from the full rate to 0, per step, without warm-up. METHOD 8.1. */
export function cosineRate(learningRate: number, step: number, total: number): number {
  return (learningRate * (1 + Math.cos((Math.PI * step) / total))) / 2;
}

/**
 * The state before the first step, with running centroids where L_ADV uses them.
 *
 * @param initial the head's tensors, taken over
 */
export function startTraining(
  runtime: Runtime,
  data: TrainingData,
  options: TrainingOptions,
  initial: HeadWeights,
  seed: number,
): TrainingState {
  const state = untrained(runtime, { ...options, ...adamw }, initial, seed);
  if (hasRunningCentroids(options)) startCentroids(data, options, state);
  return state;
}

/**
 * The state before the first step, but for running centroids. Learned ones start from N(0, 1). METHOD 8.2.
 *
 * @param initial the head's tensors, taken over
 */
export function untrained(
  runtime: Runtime,
  options: HeadOptions & AdamWOptions & Pick<TrainingOptions, "weightDecay">,
  initial: HeadWeights,
  seed: number,
): TrainingState {
  const { shape } = options;
  const weights = new Map(initial);
  if (centroidKind(options) === "learned") {
    const random = randomStream(seed, "head-init", learnedCentroids);
    const size = centroidCount(options.objective) * shape.dim;
    weights.set(
      learnedCentroids,
      Float32Array.from({ length: size }, () => random.normal()),
    );
  }
  return { step: 0, head: trainedHead(runtime, shape, weights, options), centroids: undefined };
}

/** Whether L_ADV uses centroids that `startCentroids` has to start. */
export function hasRunningCentroids(options: HeadOptions): boolean {
  return centroidKind(options) === "ema_mean";
}

/** Starts running centroids from a pass in evaluation mode over all rows. METHOD 8.2 and 15. */
export function startCentroids(
  data: TrainingData,
  { objective: loss }: HeadOptions,
  state: TrainingState,
): void {
  state.centroids = initialCentroids(
    predictChunks(state.head, data.features),
    (start, end) => labelRange(data, start, end),
    loss,
  );
}

/**
 * Trains a head from `state` on: AdamW with decay on all parameters, cosine per step, batches in the order that
 * `order` gives. One iteration per step, so that the caller can report, save and stop between any two.
 *
 * @param order rows of an epoch in the order they are taken
 */
export function* trainHead(
  data: TrainingData,
  options: TrainingOptions,
  state: TrainingState,
  order: (epoch: number) => ArrayLike<number>,
): Generator<StepReport> {
  const bounds = batchBounds(data.features.rows, options);
  const total = bounds.length * options.epochs;
  const { ops, trained } = state.head;
  let rows: { readonly epoch: number; readonly order: ArrayLike<number> } | undefined;

  while (state.step < total) {
    const epoch = Math.floor(state.step / bounds.length);
    if (rows?.epoch !== epoch) rows = { epoch, order: order(epoch) };
    const [start, end] = bounds[state.step % bounds.length] as readonly [number, number];
    const batch = Array.from({ length: end - start }, (_, i) => rows?.order[start + i] as number);
    const f = gatherRows(data.features, batch);
    const labels = gatherLabels(data, batch);
    const learningRate = cosineRate(options.learningRate, state.step, total);
    const report = ops.tidy(() => {
      const { gradients, loss, terms } = batchGradients(options, state, { f, labels });
      trained.step(gradients, learningRate);
      return { loss, terms };
    });
    state.step++;
    yield { epoch, learningRate, ...report };
  }
}

/** What `batchGradients` finds. */
export interface BatchGradients {
  readonly loss: number;
  readonly terms: Readonly<Record<string, number>>;
  /** By the name of the trained tensor, in the caller's scope. */
  readonly gradients: Gradients;
  /** [n, d]; undefined where it was not asked for. */
  readonly dF: Matrix | undefined;
}

/**
 * Loss and gradients of one batch. Moves running centroids and the statistics of batch norm.
 *
 * @param batch f [n, d] and its labels; `dF` asks for the gradient with respect to f, which the losses take as given
 */
export function batchGradients(
  options: HeadOptions,
  state: TrainingState,
  { f, labels, dF = false }: { readonly f: Matrix; readonly labels: Int32Array; readonly dF?: boolean },
): BatchGradients {
  const product = runtimeProduct(state.head.ops.runtime);
  let value: ObjectiveValue | undefined;
  const pass = trainPass(
    state.head,
    f,
    (z, logits) => {
      const source = centroidSource(state, options);
      value = objective({ f, z, logits, labels }, options.objective, product, source);
      if (source?.kind === "ema_mean") state.centroids = value.centroids;
      return value;
    },
    { dF },
  );
  if (!value) throw new Error("internal error: a training pass without a loss");
  if (value.dCentroids) addCentroidGradient(state.head, pass.gradients, value.dCentroids, options);
  return { ...pass, loss: value.loss, terms: value.terms };
}

function centroidKind({ objective: { ran } }: HeadOptions): string | undefined {
  return ran?.useAdv ? ran.centroids : undefined;
}

function centroidSource(state: TrainingState, options: HeadOptions): CentroidSource | undefined {
  const { ran } = options.objective;
  if (!ran?.useAdv) return undefined;
  const { dim, outputs } = options.shape;
  switch (ran.centroids) {
    case "ema_mean":
      if (!state.centroids) throw new Error("internal error: no running centroids");
      return { kind: "ema_mean", previous: state.centroids, momentum: ran.centroidMomentum };
    case "batch_mean":
      return { kind: "batch_mean" };
    case "learned": {
      const rows = centroidCount(options.objective);
      const data = state.head.trained.value(learnedCentroids);
      const values = { rows, cols: dim, data };
      return { kind: "given", centroids: { values, valid: Array.from({ length: rows }, () => true) } };
    }
    case "classifier_weight": {
      const data = state.head.trained.value(classifierWeight);
      const weight = { rows: dim, cols: outputs, data };
      return {
        kind: "given",
        centroids: classifierCentroids(weight, centroidCount(options.objective)),
      };
    }
  }
}

/** Given centroids are trained tensors: learned ones of their own, or the classifier's weight. */
function addCentroidGradient(
  { ops, shape: { dim, outputs } }: TrainedHead,
  gradients: Gradients,
  dCentroids: Matrix,
  options: HeadOptions,
): void {
  const { rows, cols, data } = dCentroids;
  if (centroidKind(options) === "learned") {
    gradients.set(learnedCentroids, ops.tensor(new Float32Array(data), [rows, cols]));
    return;
  }
  // No Finding has a centroid, and no row in the classifier.
  const own = transpose({ rows: outputs, cols: dim, data: data.subarray(0, outputs * dim) }).data;
  const through = parameter(gradients, classifierWeight); // [d, K]
  gradients.set(classifierWeight, ops.add(through, ops.tensor(own, [dim, outputs])));
}

function labelRange({ labels, features }: TrainingData, start: number, end: number): Int32Array {
  const width = labels.length / features.rows;
  return labels.subarray(start * width, end * width);
}

function gatherLabels(data: TrainingData, rows: readonly number[]): Int32Array {
  const width = data.labels.length / data.features.rows;
  const labels = new Int32Array(rows.length * width);
  rows.forEach((row, i) => labels.set(labelRange(data, row, row + 1), i * width));
  return labels;
}
