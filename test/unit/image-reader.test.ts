import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openImageReader } from "../../nodes/data/image-reader.ts";
import { decodeForModel, decodeImage, randomResizedCrop } from "../../nodes/data/images.ts";
import { randomStream } from "../../nodes/random.ts";

const size = 16;
let folder: string;
let records: readonly { readonly id: string; readonly path: string }[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-reader-"));
  records = await Promise.all(
    Array.from({ length: 12 }, (_, index) => (index === 1 ? [size, size] : [40 - index, 30 + 3 * index])).map(
      async ([width = 0, height = 0], index) => {
        const path = join(folder, `${index}.png`);
        const pixels = Uint8Array.from({ length: width * height * 3 }, (_, at) => (at * (7 + index)) % 256);
        await sharp(pixels, { raw: { width, height, channels: 3 } })
          .png()
          .toFile(path);
        return { id: `case-${index}`, path };
      },
    ),
  );
});
afterAll(() => rm(folder, { recursive: true }));

it.each([0, 5000, 2 ** 20])(
  "reads what both transforms make of images, in another thread, with %i bytes of memory",
  async (memory) => {
    const reader = openImageReader({ size, memory });
    try {
      for (const epoch of [0, 1]) {
        const fitted = records.map(({ path }) => decodeForModel(path, size));
        expect(Buffer.from(await reader.read(records))).toEqual(Buffer.concat(await Promise.all(fitted)));
        // The stream of a crop is part of what a seed means: written out here, so that it stays.
        const cropped = records.map(async ({ id, path }) =>
          randomResizedCrop(await decodeImage(path), randomStream(5, `crop/${epoch}`, id), size),
        );
        const asked = records.map((record) => ({ ...record, crop: { seed: 5, epoch } }));
        expect(Buffer.from(await reader.read(asked))).toEqual(Buffer.concat(await Promise.all(cropped)));
      }
    } finally {
      await reader.close();
    }
  },
);

it("passes on what is wrong with an image, and goes on", async () => {
  const reader = openImageReader({ size });
  try {
    const gone = { id: "case-7", path: join(folder, "gone.png") };
    // More than are decoded at a time.
    const failed = reader
      .read([...records, ...Array.from({ length: 20 }, () => gone)])
      .catch((error: unknown) => error);
    expect(await reader.read(records)).toHaveLength(records.length * size * size * 3);
    expect(await failed).toMatchObject({
      name: "NodeError",
      message: expect.stringMatching(/^The image case-7 .* cannot be opened/),
      hint: expect.stringContaining("Copy the file again"),
    });
  } finally {
    await reader.close();
  }
});
