import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { GreyPicture } from "./studies.ts";

/** Modes that the real datasets mix. */
export type FileMode = "L" | "RGB" | "RGBA";

/** Writes pictures below a folder, and reports each. */
export interface PictureWriter {
  write(name: string, picture: GreyPicture, mode?: FileMode): Promise<void>;
}

/** A writer of PNG and JPEG files, by the ending of the name. */
export async function pictureWriter(folder: string, onWritten: () => void): Promise<PictureWriter> {
  const { default: sharp } = await import("sharp");
  const made = new Set<string>();
  return {
    async write(name, picture, mode = "L") {
      const path = join(folder, name);
      if (!made.has(dirname(path))) {
        await mkdir(dirname(path), { recursive: true });
        made.add(dirname(path));
      }
      const channels = { L: 1, RGB: 3, RGBA: 4 }[mode] as 1 | 3 | 4;
      const raw = { width: picture.width, height: picture.height, channels };
      const image = sharp(repeat(picture.data, channels), { raw }).toColourspace(
        mode === "L" ? "b-w" : "srgb",
      );
      const encoded = name.endsWith(".png")
        ? image.png({ compressionLevel: 6 })
        : image.jpeg({ quality: 92 });
      await writeFile(path, await encoded.toBuffer());
      onWritten();
    },
  };
}

/** Grey in every colour channel, opaque. */
function repeat(grey: Uint8Array, channels: number): Uint8Array {
  if (channels === 1) return grey;
  const data = new Uint8Array(grey.length * channels).fill(255);
  for (let i = 0; i < grey.length; i++) {
    data.fill(grey[i]!, i * channels, i * channels + 3);
  }
  return data;
}
