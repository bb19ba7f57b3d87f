import { plannedBatches } from "../clip/training-plan.ts";
import { cropStream, randomPart } from "../data/images.ts";
import { npy } from "./npy.ts";
import type { ImageSize } from "./samples.ts";

/**
 * Which pair comes where in each epoch, and how its image is cropped: what `clip.pretrain` does with the same seed, as
 * `.npy` of int32 [epochs, pairs of an epoch, fields]. The fields are the pair's index and, with `augment`, left, top,
 * width and height of the crop in pixels.
 *
 * @param pairs ids in order, with the sizes of their images
 * @param perEpoch batches of an epoch
 */
export function trainingPlan(
  pairs: readonly { readonly id: string; readonly size: ImageSize }[],
  options: {
    readonly epochs: number;
    readonly perEpoch: number;
    readonly batchSize: number;
    readonly seed: number;
    readonly augment: boolean;
  },
): Uint8Array {
  const { epochs, perEpoch, batchSize, seed, augment } = options;
  const samples = Math.min(perEpoch * batchSize, pairs.length);
  const fields = augment ? 5 : 1;
  const plan = new Int32Array(epochs * samples * fields);
  let at = 0;
  for (const { epoch, indices } of plannedBatches(pairs.length, { ...options, first: 0 })) {
    for (const index of indices) {
      plan[at++] = index;
      const pair = pairs[index];
      if (!augment || !pair) continue;
      const { left, top, width, height } = randomPart(pair.size, cropStream({ seed, epoch, id: pair.id }));
      plan.set([left, top, width, height], at);
      at += 4;
    }
  }
  return npy([epochs, samples, fields], plan);
}
