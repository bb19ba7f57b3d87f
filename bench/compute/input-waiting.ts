import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import type { Digest, StepBlobs } from "../../engine/sdk.ts";
import { openAttackImages } from "../../nodes/attack/attack-pixels.ts";
import { clipAttackEncoder } from "../../nodes/attack/clip-encoder.ts";
import { pgd } from "../../nodes/attack/pgd.ts";
import { fromPng8 } from "../../nodes/attack/pixels.ts";
import { clipPresets } from "../../nodes/clip/config.ts";
import { imageBatches } from "../../nodes/clip/image-batches.ts";
import { initialise } from "../../nodes/clip/initialise.ts";
import { createClipModel } from "../../nodes/clip/model.ts";
import type { ClipModel } from "../../nodes/clip/model.ts";
import { createOptimizer } from "../../nodes/clip/optimizer.ts";
import { inBatches } from "../../nodes/clip/prefetch.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { trainStep } from "../../nodes/clip/train-step.ts";
import { trainingBatches } from "../../nodes/clip/training-batches.ts";
import { plannedBatches } from "../../nodes/clip/training-plan.ts";
import { encodeImages } from "../../nodes/clip/vision.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import { normaliseRgb } from "../../nodes/data/normalise.ts";
import type { ImageText } from "../../nodes/formats.ts";
import { adamw, attackOptions, captionOf } from "./clip-work.ts";
import type { Finding } from "./findings.ts";

const limit = 0.05;
const side = 1024;
/** Different files; each is read several times. */
const files = 64;
const config = clipPresets["ViT-B-32"];
const { image_size: size } = config.vision_cfg;

/** What batches of images are made from, and the model that takes them. */
interface Given {
  readonly model: ClipModel;
  readonly records: readonly ImageText[];
  readonly blobs: StepBlobs;
}

/** The computation on one batch, which has its pixels. */
type Work = () => Promise<void> | void;

/** Features as `clip.embed-images` makes them. */
export function measureFeatures(): Promise<Finding> {
  return waiting(512, async function* ({ model, records, blobs }) {
    const { ops } = model;
    for await (const { pixels, shape } of imageBatches(records, config, { batchSize: 32, blobs })) {
      yield () =>
        ops.tidy(() => void ops.read(encodeImages(model, ops.tensor(pixels, shape), "nothing").features));
    }
  });
}

/** Steps as `clip.pretrain` takes them, with a new crop of each image. */
export function measureTraining(): Promise<Finding> {
  return waiting(512, async function* ({ model, records, blobs }) {
    const optimizer = createOptimizer(model, adamw);
    const located = await blobs.locate(records.map(({ image }) => image));
    const plan = { epochs: 1, perEpoch: records.length / 16, batchSize: 16, seed: 1, first: 0 };
    const batches = trainingBatches(
      plannedBatches(records.length, plan),
      records.map(({ id }, index) => ({ id, file: located[index]! })),
      { size, augment: true, seed: 1 },
    );
    for await (const { indices, rgb } of batches) {
      const pixels = normaliseRgb(rgb, config.preprocess_cfg);
      const tokens = tokenBatch(indices.map(captionOf), config.text_cfg);
      yield () =>
        model.ops.tidy(() => {
          const images = model.ops.tensor(pixels, [indices.length, size, size, 3]);
          trainStep(model, optimizer, { images, tokens, learningRate: 1e-5 });
        });
    }
  });
}

/** Attacks as `attack.image-pgd` makes them, of few steps. */
export function measureAttack(): Promise<Finding> {
  return waiting(64, async function* ({ model, records, blobs }) {
    const { ops } = model;
    const encoder = clipAttackEncoder(model);
    const reader = openAttackImages(blobs, size);
    const items = records.map((pair, index) => ({ pair, target: records[(index * 7 + 1) % files]! }));
    const groups = inBatches(items, 16);
    for (const [index, group] of groups.entries()) {
      const { clean, targets } = await reader.read(group, groups[index + 1] ?? []);
      const [from, towards] = [fromPng8(clean), fromPng8(targets)];
      const shape = [group.length, size, size, 3];
      yield async () => {
        const pixels = ops.tensor(from, shape);
        const features = ops.tidy(() =>
          Float32Array.from(ops.read(encoder.encode(ops.tensor(towards, shape)))),
        );
        await pgd(ops, encoder, { clean: pixels, targets: features }, { ...attackOptions, steps: 10 });
        pixels.dispose();
      };
    }
    await reader.close();
  });
}

/** How long the computation had nothing to compute on. */
async function waiting(images: number, batches: (given: Given) => AsyncIterable<Work>): Promise<Finding> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-waiting-"));
  try {
    const blobs = await jpegs(folder);
    const runtime = await openRuntime({ backend: "tensorflow", threads: 2 });
    const model = createClipModel(runtime, config, initialise(config, 1));
    const records = Array.from({ length: images }, (_, index) => ({
      id: String(index),
      image: { digest: digestOf(index % files), size: 0 },
      caption: "",
    }));
    const began = performance.now();
    let waited = 0;
    let asked = began;
    for await (const work of batches({ model, records, blobs })) {
      waited += performance.now() - asked;
      await work();
      asked = performance.now();
    }
    const wall = performance.now() - began;
    const share = waited / wall;
    return {
      wanted: `waits for input less than ${100 * limit} % of the wall time`,
      found: `${(100 * share).toFixed(1)} % of ${(wall / 1e3).toFixed(0)} s for ${images} images`,
      holds: share < limit,
      figures: { share, waiting: waited / 1e3, wall: wall / 1e3, images },
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
    throw new Error("nothing is stored here");
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
