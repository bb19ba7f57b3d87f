import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { expect, it } from "vitest";
import { openImageReader } from "../../nodes/data/image-reader.ts";
import { decodeForModel } from "../../nodes/data/images.ts";

it("reads what decodeForModel does, in another thread, and passes on what is wrong with an image", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-reader-"));
  const reader = openImageReader();
  try {
    const path = join(folder, "a.png");
    const pixels = Uint8Array.from({ length: 40 * 30 * 3 }, (_, index) => (index * 7) % 256);
    await sharp(pixels, { raw: { width: 40, height: 30, channels: 3 } })
      .png()
      .toFile(path);
    const gone = reader.read(join(folder, "gone.png"), 16, "case-7").catch((error: unknown) => error);
    expect(await reader.read(path, 16)).toEqual(await decodeForModel(path, 16));
    expect(await gone).toMatchObject({
      name: "NodeError",
      message: expect.stringMatching(/^The image case-7 .* cannot be opened/),
      hint: expect.stringContaining("Copy the file again"),
    });
  } finally {
    await reader.close();
    await rm(folder, { recursive: true });
  }
});
