import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import type { BlobRef, StepBlobs } from "../../engine/sdk.ts";

/** A record that names an image by content, as `pairs` and `images` files have them. */
interface ImageRecord {
  readonly image: BlobRef;
}

/** The first record of a file ends before this, in bytes: otherwise it is no file of records. */
const head = 65_536;
const batch = 1_000;

/** Whether a file is JSON lines of records that name images by content; the first line may be a header. */
export async function hasImages(path: string): Promise<boolean> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(head), 0, head, 0);
  if (buffer[0] !== 0x7b) return false;
  const lines = buffer.toString("utf8", 0, bytesRead).split("\n", 2);
  return lines.some((line) => recordOf(line) !== undefined);
}

/** Copies records, with the `path` where the bytes of each image lie now beside its digest. */
export async function writeLocated(from: string, to: string, blobs: StepBlobs): Promise<void> {
  const lines = createInterface({ input: createReadStream(from), crlfDelay: Infinity });
  async function* located(): AsyncGenerator<string> {
    let held: string[] = [];
    for await (const line of lines) {
      held.push(line);
      if (held.length < batch) continue;
      yield await locate(held, blobs);
      held = [];
    }
    if (held.length > 0) yield await locate(held, blobs);
  }
  await pipeline(located(), createWriteStream(to));
}

async function locate(lines: readonly string[], blobs: StepBlobs): Promise<string> {
  const records = lines.map(recordOf);
  const images = records.flatMap((record) => (record ? [record.image] : []));
  const found = (await blobs.locate(images)).values();
  const texts = lines.map((line, i) => {
    const record = records[i];
    if (!record) return line;
    const { path } = found.next().value as { readonly path: string };
    return JSON.stringify({ ...record, image: { ...record.image, path } });
  });
  return `${texts.join("\n")}\n`;
}

function recordOf(line: string): ImageRecord | undefined {
  try {
    const { image } = JSON.parse(line) as { readonly image?: Partial<BlobRef> };
    const isRef = typeof image?.size === "number" && /^sha256:[0-9a-f]{64}$/.test(String(image.digest));
    return isRef ? (JSON.parse(line) as ImageRecord) : undefined;
  } catch {
    return undefined;
  }
}
