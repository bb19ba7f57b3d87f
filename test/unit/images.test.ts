import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import {
  decodeForModel,
  decodeImage,
  fitForModel,
  randomResizedCrop,
  resizeBicubic,
} from "../../nodes/data/images.ts";
import type { RasterImage } from "../../nodes/data/images.ts";
import { clipMean, clipStd, normaliseRgb } from "../../nodes/data/normalise.ts";
import { randomStream } from "../../nodes/random.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-images-"));
});

async function file(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

/** A grey ramp that rises to the right and downwards. */
function ramp(width: number, height: number): RasterImage {
  const data = Uint8Array.from({ length: width * height }, (_, i) => (i % width) * 3 + Math.floor(i / width));
  return { width, height, mode: "L", data };
}

const raw = (data: Uint8Array, width: number, height: number, channels: 1 | 2 | 3 | 4) =>
  sharp(data, { raw: { width, height, channels } });

async function failure(path: string): Promise<NodeError> {
  const error: unknown = await decodeImage(path).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(NodeError);
  return error as NodeError;
}

describe("decodeImage", () => {
  it("scales 16-bit grey by 1/257 instead of saturating", async () => {
    const samples = Uint16Array.from([0, 257, 12_850, 65_535]);
    const bytes = await sharp(samples, { raw: { width: 4, height: 1, channels: 1 } })
      .toColourspace("grey16")
      .png()
      .toBuffer();
    const image = await decodeImage(await file("grey16.png", bytes));
    expect(image).toMatchObject({ width: 4, height: 1, mode: "L" });
    expect([...image.data]).toEqual([0, 1, 50, 255]);
  });

  it("keeps the mode of grey, palette, alpha and colour files", async () => {
    const rgba = Uint8Array.from({ length: 8 * 8 * 4 }, (_, i) => (i * 37) % 256);
    const rgb = Uint8Array.from({ length: 8 * 8 * 3 }, (_, i) => (i * 37) % 256);
    const modes = await Promise.all(
      (
        [
          ["l.png", raw(ramp(8, 8).data, 8, 8, 1).toColourspace("b-w").png()],
          ["rgb.png", raw(rgb, 8, 8, 3).png()],
          ["p.png", raw(rgb, 8, 8, 3).png({ palette: true })],
          ["rgba.png", raw(rgba, 8, 8, 4).png()],
          ["rgb.jpg", raw(rgb, 8, 8, 3).jpeg()],
          ["l.jpg", raw(ramp(8, 8).data, 8, 8, 1).toColourspace("b-w").jpeg()],
        ] as const
      ).map(async ([name, image]) => (await decodeImage(await file(name, await image.toBuffer()))).mode),
    );
    expect(modes).toEqual(["L", "RGB", "P", "RGBA", "RGB", "L"]);
  });

  it("does not turn a picture by its EXIF orientation", async () => {
    const bytes = await raw(ramp(10, 6).data, 10, 6, 1).jpeg().withMetadata({ orientation: 6 }).toBuffer();
    expect(await decodeImage(await file("exif.jpg", bytes))).toMatchObject({ width: 10, height: 6 });
  });

  it("names an empty file", async () => {
    const { message, hint } = await failure(await file("empty.png", new Uint8Array()));
    expect(message).toMatch(/empty\.png is empty \(0 bytes\)/);
    expect(hint).toMatch(/Copy the file again/);
  });

  it.each(["jpg", "png"] as const)("names a truncated %s file", async (format) => {
    const noise = Uint8Array.from({ length: 64 * 64 }, (_, i) => (i * 7919) % 251);
    const bytes = await raw(noise, 64, 64, 1)
      .toFormat(format === "jpg" ? "jpeg" : "png")
      .toBuffer();
    const { message } = await failure(await file(`cut.${format}`, bytes.subarray(0, bytes.length / 2)));
    expect(message).toMatch(new RegExp(`cut\\.${format} is truncated or damaged`));
  });

  it("names a file that is no image", async () => {
    const page = "<!doctype html><title>404</title>";
    expect((await failure(await file("page.png", Buffer.from(page)))).message).toMatch(
      /page\.png is not an image/,
    );
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
    expect((await failure(await file("drawing.png", Buffer.from(svg)))).message).toMatch(
      /not an image of pixels/,
    );
  });

  it("refuses an image with a side of 30,000 pixels before decoding it", async () => {
    const bytes = await sharp({ create: { width: 30_000, height: 2, channels: 3, background: "black" } })
      .png()
      .toBuffer();
    expect((await failure(await file("wide.png", bytes))).message).toMatch(/too large: 30000 x 2 pixels/);
  });

  it("refuses CMYK, whose colours would depend on a profile", async () => {
    const bytes = await sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } })
      .toColourspace("cmyk")
      .jpeg()
      .toBuffer();
    expect((await failure(await file("print.jpg", bytes))).message).toMatch(/print\.jpg is cmyk/);
  });

  it("calls a file by its record and path", async () => {
    const path = await file("0123abcd", new Uint8Array());
    await expect(decodeImage(path, "a")).rejects.toThrow(`The image a (${path}) is empty`);
    await expect(decodeImage(join(folder, "none.png"))).rejects.toThrow(/none\.png cannot be opened/);
  });
});

describe("resizeBicubic", () => {
  it("leaves an image of the wanted size alone", () => {
    const image = ramp(7, 5);
    expect(resizeBicubic(image, 7, 5)).toBe(image);
  });

  it("keeps a constant image constant, larger and smaller", () => {
    const image: RasterImage = { width: 9, height: 4, mode: "RGB", data: new Uint8Array(9 * 4 * 3).fill(77) };
    for (const [width, height] of [
      [31, 17],
      [3, 2],
      [1, 1],
    ] as const) {
      const { data } = resizeBicubic(image, width, height);
      expect(data.length).toBe(width * height * 3);
      expect(new Set(data)).toEqual(new Set([77]));
    }
  });

  it("invents no colour in palette and 1-bit images", () => {
    const data = Uint8Array.from({ length: 12 * 12 }, (_, i) => ((i * 5) % 3 === 0 ? 255 : 0));
    const { data: resized } = resizeBicubic({ width: 12, height: 12, mode: "1", data }, 7, 19);
    expect(new Set(resized)).toEqual(new Set([0, 255]));
  });

  it("does not let invisible pixels bleed into visible ones", () => {
    // Left half opaque black, right half transparent white.
    const data = Uint8Array.from({ length: 16 * 4 * 4 }, (_, i) => {
      const left = Math.floor(i / 4) % 16 < 8;
      return left ? (i % 4 === 3 ? 255 : 0) : i % 4 === 3 ? 0 : 255;
    });
    const { data: resized } = resizeBicubic({ width: 16, height: 4, mode: "RGBA", data }, 8, 4);
    for (let i = 0; i < resized.length; i += 4) if (resized[i + 3]! > 0) expect(resized[i]).toBe(0);
  });
});

describe("transforms", () => {
  it("fits the shortest side and crops the centre, rounding half to even", () => {
    // 37 rows become 37, and (37 - 32) / 2 = 2.5 rounds to 2.
    const image = ramp(32, 37);
    const fitted = fitForModel(image, 32);
    expect(fitted.length).toBe(32 * 32 * 3);
    expect([...fitted.subarray(0, 3)]).toEqual([2, 2, 2]);
  });

  it("decodes and fits in one go", async () => {
    const path = await file(
      "ramp.png",
      await raw(ramp(40, 50).data, 40, 50, 1).toColourspace("b-w").png().toBuffer(),
    );
    expect(await decodeForModel(path, 16)).toEqual(fitForModel(ramp(40, 50), 16));
  });

  it("crops at random, the same for the same stream, most of the image", () => {
    const columns = Uint8Array.from({ length: 100 * 100 }, (_, i) => 2 * (i % 100));
    const image: RasterImage = { width: 100, height: 100, mode: "L", data: columns };
    const crops = [0, 1, 2, 3, 4, 5].map((item) =>
      randomResizedCrop(image, randomStream(1, "crop", item), 16),
    );
    expect(crops[0]).toEqual(randomResizedCrop(image, randomStream(1, "crop", 0), 16));
    expect(new Set(crops.map((crop) => crop.join())).size).toBeGreaterThan(3);
    for (const crop of crops) {
      expect(crop.length).toBe(16 * 16 * 3);
      // The least width of a part is sqrt(0.9 x 3/4) = 82 columns, of which half a step is lost at either end.
      expect((crop[15 * 3]! - crop[0]!) / 2).toBeGreaterThan(82 * (15 / 16) - 2);
    }
  });

  it("falls back to the largest central part where no crop fits", () => {
    const strip = ramp(60, 3);
    // Of 60 x 3, a part of at most 4 : 3 is 4 x 3 pixels in the middle.
    const centre = randomResizedCrop(strip, randomStream(1, "crop"), 4);
    expect(centre[0]).toBeGreaterThanOrEqual(27 * 3);
    expect(centre[0]).toBeLessThanOrEqual(29 * 3);
  });

  it("normalises each channel by its own mean and deviation", () => {
    const [red, green, blue] = normaliseRgb(Uint8Array.from([0, 128, 255]));
    expect(red).toBeCloseTo(-clipMean[0] / clipStd[0], 5);
    expect(green).toBeCloseTo((128 / 255 - clipMean[1]) / clipStd[1], 5);
    expect(blue).toBeCloseTo((1 - clipMean[2]) / clipStd[2], 5);
  });
});
