import { readFile } from "node:fs/promises";
import { NodeError } from "../../engine/sdk.ts";
import type { RasterImage, RasterMode } from "./raster.ts";
import { loadSharp } from "./sharp.ts";

/** Longest side that is decoded, in pixels. The largest original of the public radiology sets has 5,842. */
export const maxSide = 16_384;

/** Pixels in all that are decoded: four bytes each have to fit in memory, beside the same for other workers. */
export const maxPixels = 120_000_000;

/**
 * Decodes an image file of any format that sharp reads, into the mode in which PIL would open it. EXIF
 * orientation and colour profiles are ignored, as PIL ignores them; of several frames the first is taken;
 * 16-bit grey becomes 8-bit by v/257, rounded; other 16-bit samples keep their high byte.
 *
 * @param id the record's, for messages: the path of a file in a store says little
 * @throws NodeError for a file that is missing, empty, truncated, too large, or no image
 */
export async function decodeImage(path: string, id?: string): Promise<RasterImage> {
  const name = id === undefined ? path : `${id} (${path})`;
  return decodeImageBytes(await bytesOf(path, name), name);
}

/** As `decodeImage`, from the bytes of a file; `name` is how messages call it. */
export async function decodeImageBytes(bytes: Uint8Array, name: string): Promise<RasterImage> {
  if (bytes.length === 0) {
    throw new NodeError(`The image ${name} is empty (0 bytes)`, { hint: recopy });
  }
  const sharp = await loadSharp();
  const open = (): ReturnType<typeof sharp> =>
    sharp(bytes, { ignoreIcc: true, failOn: "error", limitInputPixels: false });
  const header = await open()
    .metadata()
    .catch((cause: unknown) => {
      throw new NodeError(`${name} is not an image that can be read: ${reason(cause)}`, {
        cause,
        hint: `${readFormats} ${recopy}`,
      });
    });
  if (!pixelFormats.has(header.format)) {
    throw new NodeError(`${name} is not an image of pixels: it is ${header.format}`, { hint: readFormats });
  }
  const { width, height } = header;
  if (Math.max(width, height) > maxSide || width * height > maxPixels) {
    throw new NodeError(
      `The image ${name} is too large: ${width} x ${height} pixels, where a side may have ${maxSide} and the ` +
        `whole image ${maxPixels / 1e6} million`,
      { hint: `Reduce the image, or ${leaveOut}` },
    );
  }
  const layout = layoutOf(bytes, header);
  if (layout === undefined) {
    throw new NodeError(
      `The image ${name} is ${header.space} with ${header.depth} samples, which is not read`,
      {
        hint: "Convert it to 8-bit grey or RGB.",
      },
    );
  }
  const decoded = await open()
    .toColourspace(layout.space)
    .raw({ depth: layout.space === "grey16" ? "ushort" : "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch((cause: unknown) => {
      const why = reason(cause);
      const known = why === "Unknown error" ? "" : `: ${why}`;
      throw new NodeError(`The image ${name} is truncated or damaged${known}`, { cause, hint: recopy });
    });
  const samples = layout.space === "grey16" ? eightBits(decoded.data) : new Uint8Array(decoded.data);
  const data = keepChannels(samples, samples.length / (width * height), layout.keep);
  return { width, height, mode: layout.mode, data };
}

const pixelFormats: ReadonlySet<string> = new Set([
  "png",
  "jpeg",
  "tiff",
  "webp",
  "gif",
  "heif",
  "jxl",
  "jp2k",
  "ppm",
]);
const readFormats = "PNG, JPEG, TIFF, WebP and GIF are read.";
const leaveOut = "leave its record out with `exclude` at the loader.";
const recopy = `Copy the file again from its source, or ${leaveOut}`;

async function bytesOf(path: string, name: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new NodeError(`The image ${name} cannot be opened: ${reason(cause)}`, { cause, hint: recopy });
  }
}

/** libvips reports several lines, of which the first says what is wrong. */
function reason(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return (message.split("\n")[0] ?? message).trim();
}

interface Layout {
  readonly mode: RasterMode;
  readonly space: "b-w" | "grey16" | "srgb";
  /** Channels to keep of what libvips decodes: it turns a transparent colour into alpha, PIL does not. */
  readonly keep: readonly number[];
}

interface Header {
  readonly format?: string | undefined;
  readonly space?: string | undefined;
  readonly channels: number;
  readonly depth: string;
  readonly hasAlpha: boolean;
  readonly isPalette?: boolean | undefined;
  readonly bitsPerSample?: number | undefined;
}

function layoutOf(bytes: Uint8Array, header: Header): Layout | undefined {
  const { space, depth } = header;
  if (depth !== "uchar" && depth !== "ushort") return undefined;
  const alpha = header.hasAlpha && !transparentColour(bytes, header);
  switch (space) {
    case "b-w":
      if (header.isPalette || header.format === "gif") return { mode: "P", space: "srgb", keep: [0, 1, 2] };
      if (header.bitsPerSample === 1) return { mode: "1", space: "b-w", keep: [0] };
      return alpha ? { mode: "LA", space: "srgb", keep: [0, 3] } : { mode: "L", space: "b-w", keep: [0] };
    case "grey16":
      return alpha ? { mode: "LA", space: "srgb", keep: [0, 3] } : { mode: "L", space: "grey16", keep: [0] };
    case "srgb":
    case "rgb":
    case "rgb16":
      if (header.isPalette || header.format === "gif") return { mode: "P", space: "srgb", keep: [0, 1, 2] };
      return alpha
        ? { mode: "RGBA", space: "srgb", keep: [0, 1, 2, 3] }
        : { mode: "RGB", space: "srgb", keep: [0, 1, 2] };
    default:
      return undefined;
  }
}

/** Whether the alpha channel comes from a PNG's tRNS chunk: colour types 0, 2 and 3 have none of their own. */
function transparentColour(bytes: Uint8Array, header: Header): boolean {
  const colourType = bytes[25] ?? 0;
  return header.format === "png" && (colourType & 4) === 0;
}

function eightBits(bytes: Buffer): Uint8Array {
  const samples = new Uint8Array(bytes.length / 2);
  for (let i = 0; i < samples.length; i++) samples[i] = Math.round(bytes.readUInt16LE(i * 2) / 257);
  return samples;
}

function keepChannels(samples: Uint8Array, channels: number, keep: readonly number[]): Uint8Array {
  if (channels === keep.length) return samples;
  const pixels = samples.length / channels;
  const data = new Uint8Array(pixels * keep.length);
  for (let i = 0, to = 0; i < pixels; i++) {
    for (const channel of keep) data[to++] = samples[i * channels + channel]!;
  }
  return data;
}
