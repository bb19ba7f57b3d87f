import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import type { Digest, StepBlobs } from "../../engine/sdk.ts";
import { clipPresets } from "../../nodes/clip/config.ts";
import { imageBatches } from "../../nodes/clip/image-batches.ts";
import { initialise } from "../../nodes/clip/initialise.ts";
import { createClipModel } from "../../nodes/clip/model.ts";
import { encodeImages } from "../../nodes/clip/vision.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import type { Finding } from "./findings.ts";

const limit = 0.05;
const side = 1024;
const batchSize = 32;
const images = 16 * batchSize;
/** Different files; each is read several times. */
const files = 64;
const config = clipPresets["ViT-B-32"];

/** Features of images as `clip.embed-images` makes them, and how long the computation had nothing to compute on. */
export async function measureWaiting(): Promise<Finding> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-features-"));
  try {
    const blobs = await jpegs(folder);
    const { ops, ...model } = createClipModel(
      await openRuntime({ backend: "tensorflow", threads: 2 }),
      config,
      initialise(config, 1),
    );
    const records = Array.from({ length: images }, (_, index) => ({
      id: String(index),
      image: { digest: digestOf(index % files), size: 0 },
    }));
    const began = performance.now();
    let waiting = 0;
    let asked = began;
    for await (const { pixels, shape } of imageBatches(records, config, { batchSize, blobs })) {
      waiting += performance.now() - asked;
      ops.tidy(() => {
        const { features } = encodeImages({ ...model, ops }, ops.tensor(pixels, shape), "nothing");
        ops.read(features);
      });
      asked = performance.now();
    }
    const wall = performance.now() - began;
    const share = waiting / wall;
    return {
      wanted: `waits for input less than ${100 * limit} % of the wall time`,
      found: `${(100 * share).toFixed(1)} % of ${(wall / 1e3).toFixed(0)} s for ${images} images`,
      holds: share < limit,
      figures: { share, waiting: waiting / 1e3, wall: wall / 1e3, images },
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Writes the files, soft and grainy as radiographs are. */
async function jpegs(folder: string): Promise<StepBlobs> {
  const pathOf = (index: number): string => join(folder, `${index}.jpg`);
  for (let index = 0; index < files; index++) {
    const noise = { type: "gaussian" as const, mean: 128, sigma: 60 };
    const picture = sharp({
      create: { width: side, height: side, channels: 3, background: "black", noise },
    });
    await writeFile(pathOf(index), await picture.blur(1.5).jpeg({ quality: 90 }).toBuffer());
  }
  const never = (): never => {
    throw new Error("features alone are made here");
  };
  return {
    put: never,
    has: never,
    locate: async (refs) =>
      refs.map((ref) => ({ ...ref, path: pathOf(Number(ref.digest.slice("sha256:".length))) })),
  };
}

function digestOf(index: number): Digest {
  return `sha256:${index}` as Digest;
}
