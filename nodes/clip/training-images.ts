import type { LocatedFile } from "../../engine/sdk.ts";
import { decodeImage, fitForModel, randomResizedCrop } from "../data/images.ts";
import type { RasterImage } from "../data/images.ts";
import { randomStream } from "../random.ts";
import type { Random } from "../random.ts";

/** A training image to be made ready: which record, in which epoch. */
export interface ImageRequest {
  readonly index: number;
  readonly epoch: number;
}

/** Training images at the model's size, [S, S, 3] bytes. */
export interface TrainingImages {
  get(request: ImageRequest): Promise<Uint8Array>;
}

/** Decoded pixels that are kept in memory, at most; beyond it images are decoded anew each epoch. */
const memoryBound = 2 ** 30;

/**
 * Training images, decoded once and kept as bytes while they fit into memory. With `augment` each (epoch, id) has
 * its own random crop, so that neither batching nor a resumed run changes one.
 */
export function trainingImages(
  records: readonly { readonly id: string; readonly file: LocatedFile }[],
  { size, augment, seed }: { size: number; augment: boolean; seed: number },
): TrainingImages {
  const rasters = new Map<number, RasterImage>();
  const fitted = new Map<number, Uint8Array>();
  let kept = 0;
  const keep = <T>(cache: Map<number, T>, index: number, value: T, bytes: number): void => {
    if (cache.has(index) || kept + bytes > memoryBound) return;
    cache.set(index, value);
    kept += bytes;
  };
  const recordAt = (index: number): (typeof records)[number] => {
    const found = records[index];
    if (!found) throw new Error(`internal error: no record ${index}`);
    return found;
  };
  return {
    async get({ index, epoch }) {
      const { id, file } = recordAt(index);
      const ready = fitted.get(index);
      if (ready) return ready;
      const raster = rasters.get(index) ?? (await decodeImage(file.path, id));
      if (!augment) {
        const rgb = fitForModel(raster, size);
        keep(fitted, index, rgb, rgb.length);
        return rgb;
      }
      keep(rasters, index, raster, raster.data.length);
      return randomResizedCrop(raster, cropStream(seed, epoch, id), size);
    },
  };
}

/** The random numbers of a record's crop in an epoch. */
export function cropStream(seed: number, epoch: number, id: string): Random {
  return randomStream(seed, `crop/${epoch}`, id);
}
