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
  const reader = openImageReader();
  try {
    const decoded = prefetch(inBatches(images, batchSize), async (batch) => {
      const files = await blobs.locate(batch.map(({ image }) => image));
      return Promise.all(files.map(({ path }, index) => reader.read(path, size, batch[index]?.id)));
    });
    for await (const { loaded } of decoded) {
      const pixels = new Float32Array(loaded.length * size * size * 3);
      loaded.forEach((rgb, index) =>
        normaliseRgb(rgb, {
          ...preprocess_cfg,
          into: pixels.subarray(index * rgb.length, (index + 1) * rgb.length),
        }),
      );
      yield { pixels, shape: [loaded.length, size, size, 3] };
    }
  } finally {
    await reader.close();
  }
}
