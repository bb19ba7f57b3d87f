import { readFile } from "node:fs/promises";
import type { LocatedFile } from "../../engine/sdk.ts";
import { pairNoise } from "../clip/caption-noise.ts";
import type { ClipConfig } from "../clip/config.ts";
import { prefetch } from "../clip/prefetch.ts";
import { textLength } from "../clip/tokens.ts";
import { decodeImage, fitForModel } from "../data/images.ts";
import { channelsOf } from "../data/raster.ts";
import type { RasterImage } from "../data/raster.ts";
import { loadSharp } from "../data/sharp.ts";
import type { ImageText } from "../formats.ts";
import { npy } from "./npy.ts";
import type { ShardSample } from "./shards.ts";

/** What of a pair training needs. */
export interface SampleSource {
  readonly pair: ImageText;
  readonly file: LocatedFile;
  /** Padded to the context's length. */
  readonly tokens: Int32Array;
}

/** Width and height of an image, in pixels. */
export type ImageSize = Pick<RasterImage, "width" | "height">;

/**
 * Samples of pairs, in order: `png` or `jpg`, `txt` (the caption), `json` (id, the caption's tokens without padding,
 * whether the image is resized by nearest neighbours), and where the pair carries noise `noise.npy` [tokens, width].
 * Images are files as they are where the training crops them itself, else what the evaluation transform makes of them.
 *
 * @param spread standard deviation of the initial model's embedding table
 * @param onSize told of each image, in order
 * @throws NodeError as `decodeImage`
 */
export async function* trainingSamples(
  sources: readonly SampleSource[],
  { vision_cfg, text_cfg }: ClipConfig,
  {
    augment,
    spread,
    onSize,
  }: {
    readonly augment: boolean;
    readonly spread: number;
    readonly onSize: (size: ImageSize) => void;
  },
): AsyncGenerator<ShardSample> {
  const load = async ({ pair, file }: SampleSource) => {
    const raster = await decodeImage(file.path, pair.id);
    const image = augment ? await imageFile(file.path, raster) : await fitted(raster, vision_cfg.image_size);
    return { raster, image };
  };
  for await (const { item, loaded } of prefetch(sources, load, 8)) {
    const { pair, tokens } = item;
    const { raster, image } = loaded;
    onSize(raster);
    const length = textLength(tokens, text_cfg);
    const nearest = raster.mode === "P" || raster.mode === "1";
    const noise = pairNoise(pair, length * text_cfg.width, spread);
    yield {
      ...image,
      txt: pair.caption,
      json: JSON.stringify({ id: pair.id, tokens: [...tokens.subarray(0, length)], nearest }),
      ...(noise && { "noise.npy": npy([length, text_cfg.width], noise) }),
    };
  }
}

async function fitted(raster: RasterImage, size: number): Promise<ShardSample> {
  return {
    png: await encodePng({ width: size, height: size, mode: "RGB", data: fitForModel(raster, size) }),
  };
}

/** An image's own file where Python decodes it to the same samples, else those samples as PNG. */
async function imageFile(path: string, raster: RasterImage): Promise<ShardSample> {
  const bytes = await readFile(path);
  if (bytes.readUInt16BE(0) === 0xffd8) return { jpg: bytes };
  const bitDepth = bytes[24] ?? 0;
  if (bytes.subarray(1, 4).toString("latin1") === "PNG" && bitDepth <= 8) return { png: bytes };
  return { png: await encodePng(raster) };
}

async function encodePng({ width, height, mode, data }: RasterImage): Promise<Uint8Array> {
  const sharp = await loadSharp();
  const channels = channelsOf[mode] as 1 | 2 | 3 | 4;
  const image = sharp(data, { raw: { width, height, channels } });
  return image
    .toColourspace(channels < 3 ? "b-w" : "srgb")
    .png({ compressionLevel: 3 })
    .toBuffer();
}
