/** A small world of pictures with captions and labels, whose images are found through `runNode` in its folder. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { z } from "zod";
import type { BlobRef, NodeType } from "../../engine/sdk.ts";
import { randomStream } from "../../nodes/random.ts";
import { writeImages, writePairs } from "../../nodes/records.ts";
import { runNode } from "./run-node.ts";

export interface PictureWorld {
  /** For `runNode`. */
  readonly folder: string;
  /** 14 pairs, 6 others, and 5 labelled images. */
  readonly pairs: string;
  readonly targets: string;
  readonly images: string;
}

const side = 24;
const words = ["chest", "left", "right", "opacity", "normal", "effusion", "heart", "large"];

export async function pictureWorld(): Promise<PictureWorld> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-clip-"));
  const images: BlobRef[] = [];
  const maker = {
    type: "test.pictures",
    inputs: {},
    outputs: {},
    params: z.object({}),
    async run({ blobs }: { blobs: { put(bytes: Uint8Array): Promise<BlobRef> } }) {
      for (let index = 0; index < 20; index++) {
        const random = randomStream(1, "picture", index);
        const pixels = Uint8Array.from({ length: side * side }, (_, at) =>
          Math.floor(128 + 100 * Math.sin(at / (2 + (index % 5))) + 20 * random.next()),
        );
        const png = sharp(pixels, { raw: { width: side, height: side, channels: 1 } }).png();
        images.push(await blobs.put(await png.toBuffer()));
      }
    },
  };
  await runNode(maker as unknown as NodeType, { folder });
  const pairs = images.map((image, index) => ({
    id: `p${index}`,
    image,
    caption: `${words[index % words.length]} ${words[(index * 3) % words.length]} view ${index % 4}`,
  }));
  const pairsPath = join(folder, "pairs.jsonl");
  const targetsPath = join(folder, "targets.jsonl");
  const imagesPath = join(folder, "images.jsonl");
  await writePairs(pairsPath, pairs.slice(0, 14));
  await writePairs(targetsPath, pairs.slice(14));
  await writeImages(
    imagesPath,
    { dataset: "test", split: "train", labels: ["a", "b"] },
    pairs.slice(0, 5).map(({ id, image }, index) => ({ id, image, y: [index % 2 ? 1 : 0, null] })),
  );
  return { folder, pairs: pairsPath, targets: targetsPath, images: imagesPath };
}
