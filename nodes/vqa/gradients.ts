import { batchGradients, type HeadOptions, type TrainingState } from "../heads/train.ts";
import type { Dropout } from "../nn/dropout.ts";
import type { Gradients } from "../nn/parameters.ts";
import { fuse, fuseBackward, type FusionBatch, type FusionModel } from "./fusion.ts";

/** Loss of a batch with the gradients of all that is trained. */
export interface VqaGradients {
  readonly loss: number;
  readonly terms: Readonly<Record<string, number>>;
  /** Of the fusion's parameters, and of the head's; in the caller's scope. */
  readonly fusion: Gradients;
  readonly head: Gradients;
}

/**
 * Fuses a batch, asks the head, and goes back through both. The head's losses take the fused feature h as their F, as
 * given: h learns through Z and the logits alone (METHOD 9).
 *
 * @param labels index of each sample's answer
 * @param head moved on: running centroids, statistics of batch norm
 */
export function vqaGradients(
  model: FusionModel,
  { head, options }: { readonly head: TrainingState; readonly options: HeadOptions },
  {
    batch,
    drop,
    labels,
  }: { readonly batch: FusionBatch; readonly labels: Int32Array; readonly drop: Dropout },
): VqaGradients {
  const { ops } = model;
  const { h, saved } = fuse(model, batch, { keep: "all", drop });
  const [rows = 0, cols = 0] = h.shape;
  const f = { rows, cols, data: Float32Array.from(ops.read(h)) };
  const {
    dF,
    gradients: ofHead,
    loss,
    terms,
  } = batchGradients(options, head, {
    f,
    labels,
    dF: true,
  });
  if (!dF || !saved) throw new Error("internal error: the forward pass kept nothing");
  const dh = ops.tensor(Float32Array.from(dF.data), h.shape);
  const fusion: Gradients = new Map();
  const dtokens = fuseBackward(model, saved, dh, fusion);
  ops.dispose(h, dh, dtokens.text, dtokens.image);
  return { loss, terms, fusion, head: ofHead };
}
