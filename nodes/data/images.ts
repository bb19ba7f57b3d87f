/** Images as the models take them: decoding, and OpenCLIP's two transforms (METHOD 3.1). */
import { randomStream } from "../random.ts";
import type { Random } from "../random.ts";
import { decodeImage } from "./decode.ts";
import { crop, toRgb } from "./raster.ts";
import { resizeBicubic } from "./resize.ts";
import type { RasterImage } from "./raster.ts";

export { decodeImage } from "./decode.ts";
export { resizeBicubic } from "./resize.ts";
export { toRgb } from "./raster.ts";
export type { RasterImage } from "./raster.ts";

/**
 * The evaluation transform: shortest side to `size` (bicubic, in the image's own mode), centre crop, RGB.
 *
 * @returns [size, size, 3] in 0..255
 */
export function fitForModel(image: RasterImage, size: number): Uint8Array {
  const [width, height] =
    image.width <= image.height
      ? [size, Math.trunc((size * image.height) / image.width)]
      : [Math.trunc((size * image.width) / image.height), size];
  const resized = resizeBicubic(image, width, height);
  const left = roundHalfToEven((width - size) / 2);
  const top = roundHalfToEven((height - size) / 2);
  return toRgb(crop(resized, { left, top, width: size, height: size }));
}

/**
 * Decodes an image file and applies the evaluation transform.
 *
 * @param name how messages call the file; its path unless given
 * @returns [size, size, 3] in 0..255
 * @throws NodeError as `decodeImage` does
 */
export async function decodeForModel(path: string, size: number, name?: string): Promise<Uint8Array> {
  return fitForModel(await decodeImage(path, name), size);
}

export interface CropRange {
  /** Share of the image's area, least and most. */
  readonly scale?: readonly [number, number];
  /** Width by height, least and most. */
  readonly ratio?: readonly [number, number];
}

/**
 * The training transform: a random part of the image, resized to `size` without keeping its shape
 * (torchvision's RandomResizedCrop with OpenCLIP's ranges): ten tries, then the largest central part of a legal shape.
 *
 * @returns [size, size, 3] in 0..255
 */
export function randomResizedCrop(
  image: RasterImage,
  random: Random,
  size: number,
  range: CropRange = {},
): Uint8Array {
  const part = crop(image, randomPart(image, random, range));
  return toRgb(resizeBicubic(part, size, size));
}

/** The part of an image that `randomResizedCrop` takes with these random numbers. */
export function randomPart(
  { width, height }: Pick<RasterImage, "width" | "height">,
  random: Random,
  { scale = [0.9, 1], ratio = [3 / 4, 4 / 3] }: CropRange = {},
): { left: number; top: number; width: number; height: number } {
  const between = (from: number, to: number): number => from + (to - from) * random.next();
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * between(...scale);
    const shape = Math.exp(between(Math.log(ratio[0]), Math.log(ratio[1])));
    const w = roundHalfToEven(Math.sqrt(area * shape));
    const h = roundHalfToEven(Math.sqrt(area / shape));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      return { top: random.int(height - h + 1), left: random.int(width - w + 1), width: w, height: h };
    }
  }
  const shape = width / height;
  const w = shape > ratio[1] ? Math.max(1, roundHalfToEven(height * ratio[1])) : width;
  const h = shape < ratio[0] ? Math.max(1, roundHalfToEven(width / ratio[0])) : height;
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

/** The random numbers of a record's crop in an epoch. */
export function cropStream({
  seed,
  epoch,
  id,
}: {
  readonly seed: number;
  readonly epoch: number;
  readonly id: string;
}): Random {
  return randomStream(seed, `crop/${epoch}`, id);
}

/** Python's `round`: ties go to the even neighbour. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
