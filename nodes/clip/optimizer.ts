import { adamwState, adamwStep } from "../nn/adamw.ts";
import type { AdamWState } from "../nn/adamw.ts";
import type { Tensor } from "../nn/ops.ts";

import type { ClipModel } from "./model.ts";
import type { FloatTensor } from "./weights.ts";
import { parameterShapes } from "./shapes.ts";

export interface OptimizerOptions {
  /** `adamw` decays weights directly (decoupled), `adam` through the gradient, as torch's two classes do. */
  readonly optimizer: "adamw" | "adam";
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** Largest logit scale: CLIP clamps its inverse temperature to 100. */
export const maxLogitScale = Math.log(100);

/** The parameters of a model with their moments, on the host; the model's tensors follow them. */
export interface ClipOptimizer {
  /**
   * Takes one step and clamps the logit scale to [0, ln 100].
   *
   * @param gradients in compute layout, one for each parameter
   * @returns the gradients' global Euclidean norm, before weight decay
   */
  step(gradients: ReadonlyMap<string, Tensor>, dlogitScale: number, learningRate: number): number;
  logitScale(): number;
  /** Everything needed to go on, by name: `parameter/…`, `first/…`, `second/…`. Shares memory: write it at once. */
  save(): { readonly tensors: ReadonlyMap<string, FloatTensor>; readonly step: number };
  /** Puts a saved state back, bit for bit. */
  restore(saved: { readonly tensors: ReadonlyMap<string, FloatTensor>; readonly step: number }): void;
}

/** True where AdamW decays a parameter: matrices and tables, but no biases, norms, vectors or scales (METHOD 7). */
export function isDecayed(name: string, shape: readonly number[]): boolean {
  return shape.length >= 2 && !/bn|ln|bias|logit_scale/.test(name);
}

/**
 * Learning rate of a 0-based step (METHOD 7): linear warm-up to `base`, then a half cosine to 0, or constant.
 */
export function learningRateAt(
  step: number,
  {
    base,
    warmup,
    total,
    schedule,
  }: { base: number; warmup: number; total: number; schedule: "cosine" | "constant" },
): number {
  if (step < warmup) return (base * (step + 1)) / warmup;
  if (schedule === "constant") return base;
  return 0.5 * (1 + Math.cos((Math.PI * (step - warmup)) / (total - warmup))) * base;
}

/**
 * Adam or AdamW over all parameters of a model. Values and moments are plain arrays, updated in one pass; the
 * model's tensors are replaced after each step.
 */
export function createOptimizer(model: ClipModel, options: OptimizerOptions): ClipOptimizer {
  const { ops, parameters } = model;
  const shapes = parameterShapes(model.config);
  const coupled = options.optimizer === "adam" ? options.weightDecay : 0;
  const values = new Map(
    [...shapes].map(([name, shape]) => [
      name,
      {
        data: Float32Array.from(ops.read(tensorOf(model, name))),
        weightDecay: options.optimizer === "adamw" && isDecayed(name, shape) ? options.weightDecay : 0,
      },
    ]),
  );
  const state: AdamWState = adamwState(values);

  const upload = (): void => {
    const { tf } = ops.runtime;
    for (const [name, { data }] of values) {
      const old = tensorOf(model, name);
      parameters.set(name, tf.keep(ops.tensor(data, old.shape)));
      old.dispose();
    }
  };
  const dataOf = (name: string): Float32Array => {
    const found = values.get(name)?.data;
    if (!found) throw new Error(`internal error: the optimiser has no parameter ${name}`);
    return found;
  };

  return {
    step(gradients, dlogitScale, learningRate) {
      const read = new Map<string, Float32Array>([["logit_scale", Float32Array.of(dlogitScale)]]);
      for (const [name, gradient] of gradients) read.set(name, ops.read(gradient));
      let squares = 0;
      for (const [name, gradient] of read) {
        squares += squaredNorm(gradient);
        if (coupled > 0) read.set(name, addScaled(gradient, dataOf(name), coupled));
      }
      adamwStep(values, read, state, learningRate, options);
      const scale = dataOf("logit_scale");
      scale[0] = Math.min(Math.max(scale[0] as number, 0), maxLogitScale);
      upload();
      return Math.sqrt(squares);
    },
    logitScale: () => dataOf("logit_scale")[0] as number,
    save() {
      const tensors = new Map<string, FloatTensor>();
      for (const [name, { data }] of values) {
        const shape = tensorOf(model, name).shape;
        const moments = state.moments.get(name);
        if (!moments) throw new Error(`internal error: no moments for ${name}`);
        tensors.set(`parameter/${name}`, { shape, data });
        tensors.set(`first/${name}`, { shape, data: moments.first });
        tensors.set(`second/${name}`, { shape, data: moments.second });
      }
      return { tensors, step: state.step };
    },
    restore({ tensors, step }) {
      const copy = (name: string, into: Float32Array): void => {
        const found = tensors.get(name);
        if (!found || found.data.length !== into.length) {
          throw new Error(`internal error: the checkpoint has no fitting tensor ${name}`);
        }
        into.set(found.data);
      };
      for (const [name, { data }] of values) {
        const moments = state.moments.get(name);
        if (!moments) throw new Error(`internal error: no moments for ${name}`);
        copy(`parameter/${name}`, data);
        copy(`first/${name}`, moments.first);
        copy(`second/${name}`, moments.second);
      }
      state.step = step;
      upload();
    },
  };
}

function tensorOf(model: ClipModel, name: string): Tensor {
  const found = model.parameters.get(name);
  if (!found) throw new Error(`internal error: the model has no parameter ${name}`);
  return found;
}

function squaredNorm(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) * (values[i] as number);
  return sum;
}

function addScaled(a: Float32Array, b: Float32Array, factor: number): Float32Array {
  const result = new Float32Array(a.length);
  for (let i = 0; i < a.length; i++) result[i] = (a[i] as number) + factor * (b[i] as number);
  return result;
}
