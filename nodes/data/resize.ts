import { channelsOf } from "./raster.ts";
import type { RasterImage } from "./raster.ts";

/** Fractional bits of the filter coefficients in PIL's 8-bit resampler. */
const precision = 22;

/**
 * Resizes as PIL's `Image.resize(size, BICUBIC)` does, bit for bit: palette and 1-bit images by nearest
 * neighbour, alpha modes premultiplied, all others by the Keys cubic with a = -0.5 and an 8-bit intermediate
 * between the horizontal and the vertical pass.
 *
 * @param width new width in pixels, at least 1
 * @param height new height in pixels, at least 1
 */
export function resizeBicubic(image: RasterImage, width: number, height: number): RasterImage {
  if (width === image.width && height === image.height) return image;
  switch (image.mode) {
    case "1":
    case "P":
      return resizeNearest(image, width, height);
    case "LA":
    case "RGBA":
      return unpremultiply(resample(premultiply(image), width, height));
    case "L":
    case "RGB":
      return resample(image, width, height);
  }
}

function resample(image: RasterImage, width: number, height: number): RasterImage {
  const wide = width === image.width ? image : resampleRows(image, width);
  return height === image.height ? wide : resampleColumns(wide, height);
}

/** For each output sample, its window in the input and fixed-point weights. */
interface Filter {
  readonly taps: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** [size, taps] */
  readonly weights: Int32Array;
}

function bicubicFilter(from: number, to: number): Filter {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const weights = new Int32Array(to * taps);
  const window = new Float64Array(taps);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const length = Math.min(from, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let k = 0; k < length; k++) {
      const weight = keys((k + start - centre + 0.5) * (1 / stretch));
      window[k] = weight;
      sum += weight;
    }
    first[i] = start;
    count[i] = length;
    for (let k = 0; k < length; k++) {
      const weight = (sum === 0 ? window[k]! : window[k]! / sum) * 2 ** precision;
      weights[i * taps + k] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
  }
  return { taps, first, count, weights };
}

/** Keys' cubic convolution kernel, a = -0.5 (IEEE TASSP 29(6), 1981), in PIL's order of operations. */
function keys(at: number): number {
  const a = -0.5;
  const x = Math.abs(at);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

function resampleRows(image: RasterImage, width: number): RasterImage {
  const channels = channelsOf[image.mode];
  const { taps, first, count, weights } = bicubicFilter(image.width, width);
  const data = new Uint8ClampedArray(image.height * width * channels);
  const source = image.data;
  for (let y = 0, to = 0; y < image.height; y++) {
    const row = y * image.width * channels;
    for (let x = 0; x < width; x++) {
      const start = row + first[x]! * channels;
      const length = count[x]!;
      for (let channel = 0; channel < channels; channel++, to++) {
        let sum = 1 << (precision - 1);
        for (let k = 0, from = start + channel; k < length; k++, from += channels) {
          sum += source[from]! * weights[x * taps + k]!;
        }
        data[to] = sum >> precision;
      }
    }
  }
  return { width, height: image.height, mode: image.mode, data: new Uint8Array(data.buffer) };
}

function resampleColumns(image: RasterImage, height: number): RasterImage {
  const rowLength = image.width * channelsOf[image.mode];
  const { taps, first, count, weights } = bicubicFilter(image.height, height);
  const data = new Uint8ClampedArray(height * rowLength);
  const source = image.data;
  const sums = new Float64Array(rowLength);
  for (let y = 0; y < height; y++) {
    sums.fill(1 << (precision - 1));
    for (let k = 0; k < count[y]!; k++) {
      const weight = weights[y * taps + k]!;
      const row = (first[y]! + k) * rowLength;
      for (let i = 0; i < rowLength; i++) sums[i]! += source[row + i]! * weight;
    }
    for (let i = 0; i < rowLength; i++) data[y * rowLength + i] = sums[i]! >> precision;
  }
  return { width: image.width, height, mode: image.mode, data: new Uint8Array(data.buffer) };
}

function resizeNearest(image: RasterImage, width: number, height: number): RasterImage {
  const channels = channelsOf[image.mode];
  const columns = nearest(image.width, width);
  const rows = nearest(image.height, height);
  const data = new Uint8Array(width * height * channels);
  for (let y = 0, to = 0; y < height; y++) {
    const row = rows[y]! * image.width;
    for (let x = 0; x < width; x++) {
      const from = (row + columns[x]!) * channels;
      for (let channel = 0; channel < channels; channel++) data[to++] = image.data[from + channel]!;
    }
  }
  return { width, height, mode: image.mode, data };
}

/** Input index per output index; the position is accumulated, as in PIL, so that rounding errors agree. */
function nearest(from: number, to: number): Int32Array {
  const scale = from / to;
  const indices = new Int32Array(to);
  for (let i = 0, at = scale * 0.5; i < to; i++, at += scale) indices[i] = Math.min(from - 1, Math.trunc(at));
  return indices;
}

function premultiply(image: RasterImage): RasterImage {
  const channels = channelsOf[image.mode];
  const data = new Uint8Array(image.data);
  for (let i = channels - 1; i < data.length; i += channels) {
    const alpha = data[i]!;
    for (let c = i - channels + 1; c < i; c++) {
      const product = data[c]! * alpha + 128;
      data[c] = ((product >> 8) + product) >> 8;
    }
  }
  return { ...image, data };
}

function unpremultiply(image: RasterImage): RasterImage {
  const channels = channelsOf[image.mode];
  const data = new Uint8Array(image.data);
  for (let i = channels - 1; i < data.length; i += channels) {
    const alpha = data[i]!;
    if (alpha === 0 || alpha === 255) continue;
    for (let c = i - channels + 1; c < i; c++) {
      data[c] = Math.min(255, Math.trunc((255 * data[c]!) / alpha));
    }
  }
  return { ...image, data };
}
