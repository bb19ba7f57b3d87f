import type { StoredTensor } from "../safetensors.ts";
import { adamTensors } from "./adam-tensors.ts";
import type { AdamWOptions } from "./adamw.ts";
import type { Ops, Tensor } from "./ops.ts";
import type { Gradients, Parameters } from "./parameters.ts";

/** Parameters in training, with what AdamW keeps of them. */
export interface TrainedTensors {
  /** As they are now: the tensors are replaced as they move. */
  readonly parameters: Parameters;
  /** Takes one step and frees the gradients; a parameter without one stays as it is. */
  step(gradients: Gradients, learningRate: number): void;
  /** The gradients' global Euclidean norm. */
  norm(gradients: Gradients): number;
  /** A parameter as it is now. May share memory. */
  value(name: string): Float32Array;
  /** All of them. */
  values(): Map<string, Float32Array>;
  /** Everything needed to go on, by name: `parameter/…`, `first/…`, `second/…`. */
  save(): Iterable<readonly [string, StoredTensor]>;
  /**
   * Puts a saved state back, bit for bit.
   *
   * @param step how many were taken
   */
  restore(saved: ReadonlyMap<string, StoredTensor>, step: number): void;
  dispose(): void;
}

const parts = ["parameter", "first", "second"] as const;

/**
 * Has tensors trained by AdamW.
 *
 * @param parameters kept tensors, taken over
 * @param options.decayOf decoupled weight decay of each; 0 for none
 */
export function trainTensors(
  ops: Ops,
  parameters: Map<string, Tensor>,
  options: AdamWOptions & { decayOf(name: string): number },
): TrainedTensors {
  const names = [...parameters.keys()];
  const tensors = adamTensors(ops, parameters, names, options);
  const { decayOf } = options;
  const { value } = tensors;
  let taken = 0;
  return {
    parameters,
    step(gradients, learningRate) {
      taken++;
      tensors.update(gradients, { decayOf, coupled: 0, learningRate, step: taken });
    },
    norm(gradients) {
      let squares = 0;
      for (const gradient of gradients.values()) squares += tensors.squaredNorm(gradient);
      return Math.sqrt(squares);
    },
    value,
    values: () => new Map(names.map((name) => [name, value(name)])),
    *save() {
      for (const name of names) {
        const kept = tensors.read(name);
        for (const part of parts) yield [`${part}/${name}`, { shape: [kept[part].length], data: kept[part] }];
      }
    },
    restore(saved, step) {
      const of = (name: string): Float32Array => saved.get(name)!.data as Float32Array;
      for (const name of names) {
        tensors.write(name, {
          parameter: of(`parameter/${name}`),
          first: of(`first/${name}`),
          second: of(`second/${name}`),
        });
      }
      taken = step;
    },
    dispose() {
      tensors.dispose();
      ops.dispose(...parameters.values());
    },
  };
}
