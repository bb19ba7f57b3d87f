import { adamTensors } from "../clip/adam-tensors.ts";
import type { AdamWOptions } from "../nn/adamw.ts";
import type { Ops } from "../nn/ops.ts";
import type { Gradients } from "../nn/parameters.ts";
import type { StoredTensor } from "../safetensors.ts";
import { fusionShapes, type FusionConfig } from "./fusion-config.ts";
import type { FusionModel } from "./fusion.ts";
import { uploadFusion, type FusionValues } from "./model.ts";

/** A fusion in training, with what AdamW keeps of its parameters. */
export interface TrainedFusion {
  readonly model: FusionModel;
  /** Takes one step and frees the gradients; returns their global Euclidean norm. Where it is no finite number, nothing moved. */
  step(gradients: Gradients, learningRate: number): number;
  /** The parameters as they are now. */
  values(): FusionValues;
  /** Everything needed to go on, by name. */
  save(): Iterable<readonly [string, StoredTensor]>;
  /** Puts a saved state back, bit for bit. */
  restore(tensors: ReadonlyMap<string, StoredTensor>, step: number): void;
  dispose(): void;
}

const parts = ["parameter", "first", "second"] as const;

/** Puts a fusion on a backend, to be trained by AdamW with decay on matrices and tables alone (METHOD 9). */
export function trainFusion(
  ops: Ops,
  config: FusionConfig,
  initial: FusionValues,
  options: AdamWOptions & { readonly weightDecay: number },
): TrainedFusion {
  const shapes = fusionShapes(config);
  const parameters = uploadFusion(ops, config, initial);
  const tensors = adamTensors(ops, parameters, [...shapes.keys()], options);
  const decayOf = (name: string): number => ((shapes.get(name)?.length ?? 0) > 1 ? options.weightDecay : 0);
  let taken = 0;

  return {
    model: { ops, config, parameters },
    step(gradients, learningRate) {
      let squares = 0;
      for (const gradient of gradients.values()) squares += tensors.squaredNorm(gradient);
      if (!Number.isFinite(squares)) return NaN;
      taken++;
      tensors.update(gradients, { decayOf, coupled: 0, learningRate, step: taken });
      return Math.sqrt(squares);
    },
    values: () => new Map([...shapes.keys()].map((name) => [name, tensors.read(name).parameter])),
    *save() {
      for (const name of shapes.keys()) {
        const kept = tensors.read(name);
        for (const part of parts) yield [`${part}/${name}`, { shape: [kept[part].length], data: kept[part] }];
      }
    },
    restore(saved, step) {
      const of = (name: string): Float32Array => saved.get(name)!.data as Float32Array;
      for (const name of shapes.keys()) {
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
