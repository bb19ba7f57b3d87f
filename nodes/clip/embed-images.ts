import type { BlobRef, RunContext } from "../../engine/sdk.ts";
import { preProjectionWidth } from "./config.ts";
import { imageBatches } from "./image-batches.ts";
import type { ClipModel } from "./model.ts";
import { encodeImages } from "./vision.ts";

/**
 * Features of images from a model's image tower, not normalised, in the order of the records. Images go through the
 * evaluation transform at the model's size.
 *
 * @param onBatch hears how many images are done; may throw to stop
 * @returns [N, D] row-major, D being embed_dim after the projection and the tower's width before it
 */
export async function embedImages(
  { blobs, signal }: Pick<RunContext, "blobs" | "signal">,
  model: ClipModel,
  records: readonly { readonly id: string; readonly image: BlobRef }[],
  {
    feature,
    batchSize,
    onBatch = () => undefined,
  }: {
    readonly feature: "projected" | "pre_proj";
    readonly batchSize: number;
    onBatch?(done: number): void;
  },
): Promise<Float32Array> {
  const { ops, config } = model;
  const dim = feature === "projected" ? config.embed_dim : preProjectionWidth(config.vision_cfg);
  const features = new Float32Array(records.length * dim);
  let done = 0;
  for await (const { pixels, shape } of imageBatches(records, config, { batchSize, blobs })) {
    signal.throwIfAborted();
    const values = ops.tidy(() => {
      const encoded = encodeImages(model, ops.tensor(pixels, shape), "nothing");
      return Float32Array.from(ops.read(feature === "projected" ? encoded.features : encoded.preProjection));
    });
    features.set(values, done * dim);
    done += shape[0];
    onBatch(done);
  }
  return features;
}
