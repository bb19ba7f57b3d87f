/** Modes as PIL names them, since the reference resizes an image in its own mode. */
export type RasterMode = "1" | "L" | "LA" | "P" | "RGB" | "RGBA";

/** A decoded image: 8-bit samples, rows top to bottom, channels interleaved. */
export interface RasterImage {
  readonly width: number;
  readonly height: number;
  readonly mode: RasterMode;
  /** [height, width, channels]; a palette (`P`) is already looked up, `1` holds 0 and 255. */
  readonly data: Uint8Array;
}

/** Interleaved samples per pixel of an image in this mode. */
export const channelsOf: Readonly<Record<RasterMode, number>> = {
  "1": 1,
  L: 1,
  LA: 2,
  P: 3,
  RGB: 3,
  RGBA: 4,
};

/**
 * RGB samples of an image in any mode, [height, width, 3]: grey is repeated, alpha is dropped without blending, as
 * PIL's `convert("RGB")` does.
 */
export function toRgb(image: RasterImage): Uint8Array {
  const channels = channelsOf[image.mode];
  if (channels === 3) return image.data;
  const pixels = image.width * image.height;
  const rgb = new Uint8Array(pixels * 3);
  const green = channels === 4 ? 1 : 0;
  const blue = channels === 4 ? 2 : 0;
  for (let i = 0, from = 0, to = 0; i < pixels; i++, from += channels, to += 3) {
    rgb[to] = image.data[from]!;
    rgb[to + 1] = image.data[from + green]!;
    rgb[to + 2] = image.data[from + blue]!;
  }
  return rgb;
}

/** A rectangle of an image as an image of its own. The rectangle must lie inside. */
export function crop(
  image: RasterImage,
  at: { readonly left: number; readonly top: number; readonly width: number; readonly height: number },
): RasterImage {
  const { left, top, width, height } = at;
  if (left < 0 || top < 0 || left + width > image.width || top + height > image.height) {
    throw new Error("internal error: crop outside the image");
  }
  const channels = channelsOf[image.mode];
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * channels;
    data.set(image.data.subarray(from, from + width * channels), y * width * channels);
  }
  return { width, height, mode: image.mode, data };
}
