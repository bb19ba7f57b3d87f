import type { BlobRef, StepBlobs } from "../../engine/sdk.ts";
import { openImageReader } from "../data/image-reader.ts";
import { normaliseRgb } from "../data/normalise.ts";
import type { ClipConfig } from "./config.ts";
import { inBatches, prefetch } from "./prefetch.ts";

/**
 * Images as a model's vision tower takes them, in order: normalised pixels [B, S, S, 3]. The next batches are decoded
 * while the caller works.
 */
export async function* imageBatches(
  images: readonly { readonly id: string; readonly image: BlobRef }[],
  { preprocess_cfg, vision_cfg: { image_size: size } }: ClipConfig,
  { batchSize, blobs }: { readonly batchSize: number; readonly blobs: StepBlobs },
): AsyncGenerator<{ readonly pixels: Float32Array; readonly shape: readonly [number, number, number, 3] }> {
  const reader = openImageReader({ size });
  try {
    const decoded = prefetch(inBatches(images, batchSize), async (batch) => {
      const files = await blobs.locate(batch.map(({ image }) => image));
      return reader.read(batch.map(({ id }, index) => ({ id, path: files[index]!.path })));
    });
    for await (const { item, loaded } of decoded) {
      yield { pixels: normaliseRgb(loaded, preprocess_cfg), shape: [item.length, size, size, 3] };
    }
  } finally {
    await reader.close();
  }
}
