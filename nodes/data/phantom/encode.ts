import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { loadSharp } from "../sharp.ts";
import type { GreyPicture } from "./studies.ts";

/** Modes that the real datasets mix. */
export type FileMode = "L" | "RGB" | "RGBA";

/** Writes pictures below a folder. */
export interface PictureWriter {
  /** Takes a picture on; resolves as soon as there is room for the next one. */
  write(name: string, picture: GreyPicture, mode?: FileMode): Promise<void>;
  /** Resolves once every picture is written. */
  finish(): Promise<void>;
}

/** Pictures that are encoded while the next ones are drawn. */
const room = 8;

/** A writer of PNG and JPEG files, by the ending of the name; reports each picture written. */
export async function pictureWriter(folder: string, onWritten: () => void): Promise<PictureWriter> {
  const sharp = await loadSharp();
  const folders = new Map<string, Promise<unknown>>();
  const pending: Promise<void>[] = [];

  async function encode(name: string, picture: GreyPicture, mode: FileMode): Promise<void> {
    const path = join(folder, name);
    const parent = dirname(path);
    if (!folders.has(parent)) folders.set(parent, mkdir(parent, { recursive: true }));
    await folders.get(parent);
    const channels = { L: 1, RGB: 3, RGBA: 4 }[mode] as 1 | 3 | 4;
    const raw = { width: picture.width, height: picture.height, channels };
    const image = sharp(repeat(picture.data, channels), { raw }).toColourspace(mode === "L" ? "b-w" : "srgb");
    const encoded = name.endsWith(".png") ? image.png({ compressionLevel: 6 }) : image.jpeg({ quality: 92 });
    await writeFile(path, await encoded.toBuffer());
    onWritten();
  }

  return {
    async write(name, picture, mode = "L") {
      const encoding = encode(name, picture, mode);
      // Observed again below; until then a failure must not count as unhandled.
      encoding.catch(() => undefined);
      pending.push(encoding);
      if (pending.length >= room) await pending.shift();
    },
    async finish() {
      await Promise.all(pending.splice(0));
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
