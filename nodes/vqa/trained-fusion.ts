import type { AdamWOptions } from "../nn/adamw.ts";
import type { Ops } from "../nn/ops.ts";
import { trainTensors, type TrainedTensors } from "../nn/trained-tensors.ts";
import { fusionShapes, type FusionConfig } from "./fusion-config.ts";
import type { FusionModel } from "./fusion.ts";
import { uploadFusion, type FusionValues } from "./model.ts";

/** A fusion in training. */
export interface TrainedFusion extends TrainedTensors {
  readonly model: FusionModel;
}

/** Puts a fusion on a backend, to be trained by AdamW with decay on matrices and tables alone (METHOD 9). */
export function trainFusion(
  ops: Ops,
  config: FusionConfig,
  initial: FusionValues,
  options: AdamWOptions & { readonly weightDecay: number },
): TrainedFusion {
  const shapes = fusionShapes(config);
  const decayOf = (name: string): number => ((shapes.get(name)?.length ?? 0) > 1 ? options.weightDecay : 0);
  const trained = trainTensors(ops, uploadFusion(ops, config, initial), { ...options, decayOf });
  return { ...trained, model: { ops, config, parameters: trained.parameters } };
}
