import { adamTensors } from "../nn/adam-tensors.ts";
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

/** The parameters of a model with their moments; the model's tensors follow them. */
export interface ClipOptimizer {
  /**
   * Takes one step and clamps the logit scale to [0, ln 100].
   *
   * @param gradients in compute layout, one for each parameter; freed
   * @returns the gradients' global Euclidean norm, before weight decay. Where it is no finite number, nothing moved.
   */
  step(gradients: ReadonlyMap<string, Tensor>, dlogitScale: number, learningRate: number): number;
  logitScale(): number;
  /** Everything needed to go on, by name: `parameter/…`, `first/…`, `second/…`. May share memory: write it at once. */
  save(): { readonly tensors: ReadonlyMap<string, FloatTensor>; readonly step: number };
  /** Puts a saved state back, bit for bit. */
  restore(saved: { readonly tensors: ReadonlyMap<string, FloatTensor>; readonly step: number }): void;
  /** Frees the moments; the model keeps its parameters. */
  dispose(): void;
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

/** Adam or AdamW over all parameters of a model. */
export function createOptimizer(model: ClipModel, options: OptimizerOptions): ClipOptimizer {
  const { ops, parameters } = model;
  const shapes = parameterShapes(model.config);
  const names = [...shapes.keys()];
  const coupled = options.optimizer === "adam" ? options.weightDecay : 0;
  const decayOf = (name: string): number =>
    options.optimizer === "adamw" && isDecayed(name, shapes.get(name) ?? []) ? options.weightDecay : 0;
  const tensors = adamTensors(ops, parameters, names, options);
  let taken = 0;
  /** Kept here as well, since each step's loss wants it on the host. */
  let logitScale = tensors.value("logit_scale")[0] as number;

  const setLogitScale = (): void => {
    const saved = tensors.read("logit_scale");
    const moved = saved.parameter[0] as number;
    logitScale = Math.min(Math.max(moved, 0), Math.fround(maxLogitScale));
    if (logitScale !== moved)
      tensors.write("logit_scale", { ...saved, parameter: Float32Array.of(logitScale) });
  };

  return {
    step(gradients, dlogitScale, learningRate) {
      const all = new Map([...gradients, ["logit_scale", ops.tensor(Float32Array.of(dlogitScale), [])]]);
      let squares = 0;
      for (const gradient of all.values()) squares += tensors.squaredNorm(gradient);
      if (Number.isFinite(squares)) {
        taken++;
        tensors.update(all, { decayOf, coupled, learningRate, step: taken });
        setLogitScale();
      }
      ops.dispose(...all.values());
      return Math.sqrt(squares);
    },
    logitScale: () => logitScale,
    save() {
      const saved = new Map<string, FloatTensor>();
      for (const name of names) {
        const { shape } = tensorOf(model, name);
        for (const [part, data] of Object.entries(tensors.read(name))) {
          saved.set(`${part}/${name}`, { shape, data });
        }
      }
      return { tensors: saved, step: taken };
    },
    restore({ tensors: saved, step }) {
      for (const name of names) {
        const size = tensorOf(model, name).size;
        const part = (kind: string): Float32Array => {
          const found = saved.get(`${kind}/${name}`);
          if (!found || found.data.length !== size) {
            throw new Error(`internal error: the checkpoint has no fitting tensor ${kind}/${name}`);
          }
          return found.data;
        };
        tensors.write(name, { parameter: part("parameter"), first: part("first"), second: part("second") });
      }
      taken = step;
      logitScale = tensors.value("logit_scale")[0] as number;
    },
    dispose: () => tensors.dispose(),
  };
}

function tensorOf(model: ClipModel, name: string): Tensor {
  const found = model.parameters.get(name);
  if (!found) throw new Error(`internal error: the model has no parameter ${name}`);
  return found;
}
