import type { RasterImage } from "./raster.ts";
import { cropStream, decodeForModel, decodeImage, randomResizedCrop } from "./images.ts";

/** An image file to be made ready for a model. */
export interface ImageRequest {
  /** The record's: it names the image in messages, and with the epoch its crop. */
  readonly id: string;
  readonly path: string;
  /** Under the training transform, cropped as in this epoch of the run with this seed; else under the evaluation transform. */
  readonly crop?: { readonly seed: number; readonly epoch: number } | undefined;
}

/** What the images of a model have in common. */
export interface ReadyOptions {
  /** Side of the model's images, in pixels. */
  readonly size: number;
  /** Bytes of pixels that may be kept for the next time an image is asked for; beyond it images are decoded anew. */
  readonly memory: number;
}

/**
 * Makes images ready for a model: [size, size, 3] bytes, which are to be read only. Each crop follows from (seed,
 * epoch, id) alone, so that neither batching nor a resumed run changes one.
 *
 * @throws NodeError as `decodeImage` does
 */
export function readyImages({ size, memory }: ReadyOptions): (request: ImageRequest) => Promise<Uint8Array> {
  const decoded = new Map<string, RasterImage>();
  const fitted = new Map<string, Uint8Array>();
  let room = memory;
  const keep = <T>(cache: Map<string, T>, path: string, value: T, bytes: number): void => {
    if (cache.has(path) || bytes > room) return;
    cache.set(path, value);
    room -= bytes;
  };
  return async ({ id, path, crop }) => {
    if (!crop) {
      const rgb = fitted.get(path) ?? (await decodeForModel(path, size, id));
      keep(fitted, path, rgb, rgb.length);
      return rgb;
    }
    const image = decoded.get(path) ?? (await decodeImage(path, id));
    keep(decoded, path, image, image.data.length);
    return randomResizedCrop(image, cropStream({ ...crop, id }), size);
  };
}
