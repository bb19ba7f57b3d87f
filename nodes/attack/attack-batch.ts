import sharp from "sharp";
import type { BlobRef, Port, RunContext } from "../../engine/sdk.ts";
import type { AttackParams } from "../attack-image-pgd.ts";
import { readClipModel } from "../clip/folder.ts";
import { createClipModel, disposeClipModel, inverseTemperature } from "../clip/model.ts";
import type { ClipModel } from "../clip/model.ts";
import { openRuntime } from "../compute/runtime.ts";
import { randomStream } from "../random.ts";
import { attackGradient } from "./attack-loss.ts";
import { openAttackImages } from "./attack-pixels.ts";
import type { AttackImages, AttackItem, AttackPixels } from "./attack-pixels.ts";
import { clipAttackEncoder } from "./clip-encoder.ts";
import { pgd, randomStart } from "./pgd.ts";
import type { AttackEncoder, PgdOptions } from "./pgd.ts";
import { fromPng8, toPng8 } from "./pixels.ts";

export type AttackContext = RunContext<
  AttackParams,
  {
    pairs: Port & { type: "pairs" };
    targets: Port & { type: "pairs" };
    model: Port & { type: "clip-model" };
  },
  {
    pairs: Port & { type: "pairs" };
    report: Port & { type: "table" };
    metrics: Port & { type: "metrics" };
  }
>;

/** What is kept of an attacked image, under a key of all that made it. */
export interface Attacked {
  readonly image: BlobRef;
  /** With the target: of the clean image, and of the stored PNG. */
  readonly cosBefore: number;
  readonly cosAfter: number;
  /** Of the stored PNG's difference from the clean image, in [0, 1] units. */
  readonly linf: number;
  readonly l2: number;
  /** What computed it. */
  readonly backend: string;
}

/** A surrogate that is ready to be attacked. */
export interface Attack {
  readonly model: ClipModel;
  readonly encoder: AttackEncoder;
  readonly images: AttackImages;
  readonly size: number;
  readonly options: PgdOptions;
}

/** Loads the surrogate. The caller closes it. */
export async function openAttack({
  params,
  inputs,
  blobs,
  compute,
  provenance,
}: AttackContext): Promise<Attack> {
  const runtime = await openRuntime(compute);
  provenance(runtime.provenance);
  const stored = await readClipModel(inputs.model);
  const model = createClipModel(runtime, stored.config, stored.state);
  const { image_size: size } = stored.config.vision_cfg;
  return {
    model,
    encoder: clipAttackEncoder(model),
    images: openAttackImages(blobs, size),
    size,
    options: pgdOptions(params, 1 / inverseTemperature(model)),
  };
}

export async function closeAttack({ model, images }: Attack): Promise<void> {
  disposeClipModel(model);
  await images.close();
}

/**
 * The height of a batch of `size` images whose last one may come out with other last bits: one more, which is thrown
 * away. The native library computes exponentials in packets of up to 16 values and those that are left at the end of
 * a tensor one by one, with another rounding.
 */
export function guardedHeight(size: number): number {
  return size % 16 === 0 ? size : size + 1;
}

/**
 * Attacks the images of items together, in a batch that is filled up with the last one to `height`.
 *
 * @param onStep called after each update of the batch with their number so far
 * @returns one result for each item
 */
export async function attackBatch(
  { params, blobs, seed, signal }: AttackContext,
  { model, encoder, size, options }: Attack,
  {
    items,
    pixels,
    height,
  }: { readonly items: readonly AttackItem[]; readonly pixels: AttackPixels; readonly height: number },
  onStep: (step: number) => void,
): Promise<Attacked[]> {
  const { ops } = model;
  const batch = Array.from({ length: height }, (_, index) => items[Math.min(index, items.length - 1)]!);
  const shape = [batch.length, size, size, 3];
  const values = size * size * 3;
  const filledUp = (rows: Uint8Array): Uint8Array => {
    const all = new Uint8Array(height * values);
    all.set(rows);
    for (let row = items.length; row < height; row++) all.set(rows.subarray(-values), row * values);
    return all;
  };
  const clean = fromPng8(filledUp(pixels.clean));
  const start = params.randomStart ? new Float32Array(clean.length) : undefined;
  batch.forEach(({ pair }, index) => {
    const random = randomStream(seed, "pgd-start", pair.id);
    const { norm, eps } = options;
    start?.set(randomStart(random, values, { norm, eps, l2: params.l2Start }), index * values);
  });
  const encode = (pixels: Float32Array): Float32Array =>
    ops.tidy(() => Float32Array.from(ops.read(encoder.encode(ops.tensor(pixels, shape)))));
  const targets = encode(fromPng8(filledUp(pixels.targets)));
  const cosines = (pixels: Float32Array): Float32Array =>
    attackGradient("embed_cos", { features: encode(pixels), targets, batch: batch.length, tau: 1 }).cosines;
  const cleanTensor = ops.tensor(clean, shape);
  const startTensor = start && ops.tensor(start, shape);
  const { images } = await pgd(
    ops,
    encoder,
    { clean: cleanTensor, start: startTensor, targets },
    options,
    (step) => {
      signal.throwIfAborted();
      onStep(step + 1);
    },
  ).finally(() => ops.dispose(cleanTensor, startTensor));
  const bytes = toPng8(images);
  const cosBefore = cosines(clean);
  const cosAfter = cosines(fromPng8(bytes));
  return Promise.all(
    items.map(async (_, index) => {
      const range = [index * values, (index + 1) * values] as const;
      const rgb = bytes.subarray(...range);
      const png = await sharp(rgb, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toBuffer();
      return {
        image: await blobs.put(png),
        cosBefore: cosBefore[index]!,
        cosAfter: cosAfter[index]!,
        backend: ops.runtime.backend,
        ...distances(pixels.clean.subarray(...range), rgb),
      };
    }),
  );
}

function pgdOptions(params: AttackParams, tau: number): PgdOptions {
  const { loss, norm, steps, boxClip } = params;
  const linf = norm === "linf";
  return {
    loss,
    norm,
    steps,
    boxClip,
    eps: params.eps ?? (linf ? 8 / 255 : 1),
    alpha: params.alpha ?? (linf ? 1 / 255 : 0.2),
    tau,
  };
}

function distances(clean: Uint8Array, attacked: Uint8Array): { linf: number; l2: number } {
  let largest = 0;
  let squares = 0;
  clean.forEach((value, index) => {
    const difference = Math.abs((attacked[index] as number) - value);
    largest = Math.max(largest, difference);
    squares += difference * difference;
  });
  return { linf: largest / 255, l2: Math.sqrt(squares) / 255 };
}
