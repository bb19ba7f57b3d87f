import { setImmediate } from "node:timers/promises";
import sharp from "sharp";
import { NodeError } from "../../engine/sdk.ts";
import type { BlobRef, Json, Port, RunContext } from "../../engine/sdk.ts";
import type { AttackParams } from "../attack-image-pgd.ts";
import { readClipModel } from "../clip/folder.ts";
import { createClipModel, disposeClipModel, inverseTemperature } from "../clip/model.ts";
import type { ClipModel } from "../clip/model.ts";
import { inBatches } from "../clip/prefetch.ts";
import { openRuntime } from "../compute/runtime.ts";
import { decodeForModel } from "../data/images.ts";
import type { ImageText } from "../formats.ts";
import { noiseOrder, noisyCount } from "../noise-order.ts";
import { randomStream } from "../random.ts";
import { readPairs, writeMetrics, writePairs, writeTable } from "../records.ts";
import { attackGradient } from "./attack-loss.ts";
import { clipAttackEncoder } from "./clip-encoder.ts";
import { pgd, randomStart } from "./pgd.ts";
import type { AttackEncoder, PgdOptions } from "./pgd.ts";
import { fromPng8, toPng8 } from "./pixels.ts";

type AttackContext = RunContext<
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

/** One image with its target. */
interface AttackItem {
  readonly pair: ImageText;
  readonly target: ImageText;
}

/** What is kept of an attacked image, under a key of all that made it. */
interface Attacked {
  readonly image: BlobRef;
  /** With the target: of the clean image, and of the stored PNG. */
  readonly cosBefore: number;
  readonly cosAfter: number;
  /** Of the stored PNG's difference from the clean image, in [0, 1] units. */
  readonly linf: number;
  readonly l2: number;
}

interface Attack {
  readonly model: ClipModel;
  readonly encoder: AttackEncoder;
  readonly size: number;
  readonly options: PgdOptions;
}

/** The work of `attack.image-pgd` (METHOD 4). */
export async function attackImages(context: AttackContext): Promise<void> {
  const { params, inputs, outputs, seed, signal, progress, provenance, memo } = context;
  const pairs = await readPairs(inputs.pairs.path);
  const targets = await readPairs(inputs.targets.path);
  if (targets.length === 0) {
    throw new NodeError("there are no target images: the bound `targets` are empty", {
      hint: "Check the limit or fraction of the dataset that gives the targets.",
    });
  }
  const items = chooseItems(pairs, targets, params.percent, seed);
  const runtime = await openRuntime(context.compute);
  provenance(runtime.provenance);
  const stored = await readClipModel(inputs.model);
  const model = createClipModel(runtime, stored.config, stored.state);
  const results = new Map<string, Attacked>();
  try {
    const attack: Attack = {
      model,
      encoder: clipAttackEncoder(model),
      size: stored.config.vision_cfg.image_size,
      options: pgdOptions(params, 1 / inverseTemperature(model)),
    };
    // A batch keeps its height whatever is asked for, so that an image's bits depend on its place alone.
    const height = Math.min(params.batchSize, pairs.length);
    for (const batch of inBatches(items, height)) {
      signal.throwIfAborted();
      const keys = batch.map((item) => memoKey(item, batch, context));
      const known = await recall(context, keys);
      if (known) batch.forEach((item, index) => results.set(item.pair.id, known[index]!));
      else {
        const made = await attackBatch(context, attack, fill(batch, height), (step) =>
          progress(
            results.size + (batch.length * step) / Math.max(1, attack.options.steps),
            items.length,
            undefined,
            "image",
          ),
        );
        batch.forEach((item, index) => results.set(item.pair.id, made[index]!));
        await memo.put(
          batch.map((_, index) => ({ key: keys[index]!, value: made[index] as unknown as Json })),
        );
      }
      progress(results.size, items.length, { cosine: meanOf(results, "cosAfter") }, "image");
      await setImmediate();
    }
  } finally {
    disposeClipModel(model);
  }
  await writeOutputs(outputs, { pairs, items, results, params });
}

/** The pairs to attack, first of the order of noise first, each with its target. */
function chooseItems(
  pairs: readonly ImageText[],
  targets: readonly ImageText[],
  percent: number,
  seed: number,
): AttackItem[] {
  const byId = new Map(pairs.map((pair) => [pair.id, pair]));
  const order = noiseOrder(
    pairs.map(({ id }) => id),
    seed,
  );
  return order.slice(0, noisyCount(pairs.length, percent)).map((id) => {
    const pair = byId.get(id);
    if (!pair) throw new Error(`internal error: the order of noise names an unknown pair ${id}`);
    return { pair, target: randomStream(seed, "target", id).pick(targets) };
  });
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

/** All that an attacked image depends on; with `contrastive_ce` that is the whole batch. */
function memoKey(
  item: AttackItem,
  batch: readonly AttackItem[],
  { params, inputs, seed }: AttackContext,
): Json {
  const { percent: _percent, batchSize, ...settings } = params;
  return {
    image: item.pair.image.digest,
    target: item.target.image.digest,
    model: inputs.model.digest,
    settings: settings as unknown as Json,
    ...(params.randomStart && { start: [seed, item.pair.id] }),
    ...(params.loss === "contrastive_ce" && {
      batch: [batchSize, ...batch.flatMap(({ pair, target }) => [pair.image.digest, target.image.digest])],
    }),
  };
}

/** The kept results of a batch, where all are known and their images still there. */
async function recall(
  { memo, blobs }: AttackContext,
  keys: readonly Json[],
): Promise<readonly Attacked[] | undefined> {
  const found = await memo.get(keys);
  if (found.some((value) => value === undefined)) return undefined;
  const known = found as unknown as readonly Attacked[];
  try {
    await blobs.locate(known.map(({ image }) => image));
    return known;
  } catch {
    // The images were collected as garbage: make them again.
    return undefined;
  }
}

async function attackBatch(
  { params, blobs, seed, signal }: AttackContext,
  { model, encoder, size, options }: Attack,
  batch: readonly AttackItem[],
  onStep: (step: number) => void,
): Promise<Attacked[]> {
  const { ops } = model;
  const shape = [batch.length, size, size, 3];
  const values = size * size * 3;
  const cleanBytes = await pixelsOf(
    blobs,
    batch.map(({ pair }) => pair),
    size,
  );
  const targetBytes = await pixelsOf(
    blobs,
    batch.map(({ target }) => target),
    size,
  );
  const clean = fromPng8(cleanBytes);
  const start = params.randomStart ? new Float32Array(clean.length) : undefined;
  batch.forEach(({ pair }, index) => {
    const random = randomStream(seed, "pgd-start", pair.id);
    const { norm, eps } = options;
    start?.set(randomStart(random, values, { norm, eps, l2: params.l2Start }), index * values);
  });
  const encode = (pixels: Float32Array): Float32Array =>
    ops.tidy(() => Float32Array.from(ops.read(encoder.encode(ops.tensor(pixels, shape)))));
  const targets = encode(fromPng8(targetBytes));
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
    batch.map(async (_, index) => {
      const range = [index * values, (index + 1) * values] as const;
      const rgb = bytes.subarray(...range);
      const png = await sharp(rgb, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toBuffer();
      return {
        image: await blobs.put(png),
        cosBefore: cosBefore[index]!,
        cosAfter: cosAfter[index]!,
        ...distances(cleanBytes.subarray(...range), rgb),
      };
    }),
  );
}

/** The batch, filled up with its last item. */
function fill(batch: readonly AttackItem[], height: number): AttackItem[] {
  return Array.from({ length: height }, (_, index) => batch[Math.min(index, batch.length - 1)]!);
}

async function pixelsOf(
  blobs: AttackContext["blobs"],
  records: readonly ImageText[],
  size: number,
): Promise<Uint8Array> {
  const files = await blobs.locate(records.map(({ image }) => image));
  const decoded = await Promise.all(
    files.map(({ path }, index) => decodeForModel(path, size, records[index]?.id)),
  );
  return Buffer.concat(decoded);
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

function meanOf(results: ReadonlyMap<string, Attacked>, field: "cosBefore" | "cosAfter" | "l2"): number {
  let sum = 0;
  for (const result of results.values()) sum += result[field];
  return results.size === 0 ? 0 : sum / results.size;
}

async function writeOutputs(
  outputs: AttackContext["outputs"],
  {
    pairs,
    items,
    results,
    params,
  }: {
    pairs: readonly ImageText[];
    items: readonly AttackItem[];
    results: ReadonlyMap<string, Attacked>;
    params: AttackParams;
  },
): Promise<void> {
  const targetOf = new Map(items.map(({ pair, target }) => [pair.id, target.id]));
  const attacked = pairs.flatMap((pair) => {
    const result = results.get(pair.id);
    return result ? [{ pair, result }] : [];
  });
  await writePairs(
    outputs.pairs.path,
    attacked.map(({ pair, result }) => ({ ...pair, image: result.image })),
  );
  await writeTable(
    outputs.report.path,
    attacked.map(({ pair, result: { cosBefore, cosAfter, linf, l2 } }) => ({
      id: pair.id,
      target: targetOf.get(pair.id) ?? null,
      cosBefore,
      cosAfter,
      linf,
      l2,
    })),
  );
  const cosBefore = meanOf(results, "cosBefore");
  const cosAfter = meanOf(results, "cosAfter");
  await writeMetrics(outputs.metrics.path, {
    pairs: pairs.length,
    attacked: results.size,
    loss: params.loss,
    norm: params.norm,
    cosBefore,
    cosAfter,
    cosGain: cosAfter - cosBefore,
    linfMax: [...results.values()].reduce((largest, { linf }) => Math.max(largest, linf), 0),
    l2Mean: meanOf(results, "l2"),
  });
}
