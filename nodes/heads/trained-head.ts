import type { Runtime } from "../compute/types.ts";
import type { AdamWOptions } from "../nn/adamw.ts";
import { trainTensors, type TrainedTensors } from "../nn/trained-tensors.ts";
import { uploadHead, type RunningHead } from "./compute.ts";
import type { HeadShape, HeadWeights } from "./head.ts";

/** A head in training. */
export interface TrainedHead extends RunningHead {
  /** All that the optimiser trains, learned centroids included where there are any. */
  readonly trained: TrainedTensors;
  /** All tensors as they are now, batch norm's statistics included. May share memory. */
  weights(): Map<string, Float32Array>;
}

/**
 * Puts a head on a backend, to be trained by AdamW with decay on everything. METHOD 8.1.
 *
 * @param initial the head's tensors, and learned centroids [k, d] where L_ADV has them
 */
export function trainedHead(
  runtime: Runtime,
  shape: HeadShape,
  initial: HeadWeights,
  options: AdamWOptions & { readonly weightDecay: number },
): TrainedHead {
  const head = uploadHead(runtime, shape, initial);
  const trained = trainTensors(head.ops, head.parameters, { ...options, decayOf: () => options.weightDecay });
  return {
    ...head,
    trained,
    // In the order of the initial tensors, statistics among them.
    weights: () =>
      new Map([...initial.keys()].map((name) => [name, head.statistics.get(name) ?? trained.value(name)])),
  };
}
