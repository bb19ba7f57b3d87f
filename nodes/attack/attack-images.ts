import { NodeError } from "../../engine/sdk.ts";
import type { Digest, Json } from "../../engine/sdk.ts";
import { inBatches } from "../clip/prefetch.ts";
import type { ImageText } from "../formats.ts";
import { reportItems, workThrough } from "../items.ts";
import type { ItemResults } from "../items.ts";
import { noiseOrder, noisyCount } from "../noise-order.ts";
import { randomStream } from "../random.ts";
import { readPairs, writeMetrics, writePairs, writeTable } from "../records.ts";
import { attackBatch, closeAttack, guardedHeight, openAttack } from "./attack-batch.ts";
import type { Attack, AttackContext, Attacked } from "./attack-batch.ts";
import type { AttackItem } from "./attack-pixels.ts";

/** The work of `attack.image-pgd` (METHOD 4). */
export async function attackImages(context: AttackContext): Promise<void> {
  const { params, inputs, seed, progress, provenance } = context;
  const pairs = await readPairs(inputs.pairs.path);
  const targets = await readPairs(inputs.targets.path);
  if (targets.length === 0) {
    throw new NodeError("there are no target images: the bound `targets` are empty", {
      hint: "Check the limit or fraction of the dataset that gives the targets.",
    });
  }
  const items = chooseItems(pairs, targets, params.percent, seed);
  const size = Math.min(params.batchSize, pairs.length);
  // Where the images of a batch act on each other, the batch is made and kept as one; else each image is.
  const together = params.loss === "contrastive_ce";
  const units = together ? batchesOf(items, size) : items.map((item) => [item]);
  const heightOf = (count: number): number => (together ? count : guardedHeight(size));
  const unit = together ? "batch" : "image";
  let attack: Attack | undefined;
  let done = 0;
  let total = units.length;
  try {
    const results = await workThrough<readonly AttackItem[], readonly Attacked[]>(context, {
      units,
      atOnce: together ? 1 : size,
      keyOf: (items) => memoKey(items, heightOf(items.length), context),
      usable: (found) => stillThere(context, found),
      async make(group, next) {
        // A step that finds everything in the memo loads no model.
        attack ??= await openAttack(context);
        const { steps } = attack.options;
        const items = group.flat();
        const height = heightOf(items.length);
        const pixels = await attack.images.read(items, next.flat());
        const made = await attackBatch(context, attack, { items, pixels, height }, (step) =>
          progress(done + (group.length * step) / Math.max(1, steps), total, undefined, unit),
        );
        return together ? [made] : made.map((one) => [one]);
      },
      onProgress(sofar) {
        ({ total } = sofar);
        done = sofar.made + sofar.kept;
        progress(done, total, { cosine: meanOf(attackedIn(sofar), "cosAfter") }, unit);
      },
    });
    const attacked = attackedIn(results);
    reportItems(context, results, { done: "attacked", one: unit, many: together ? "batches" : "images" });
    const backends = new Set(attacked.map(({ backend }) => backend));
    if (backends.size > 0) provenance({ backend: [...backends].toSorted().join(" and ") });
    if (context.shard) return;
    provenance({ stored: { bytes: attacked.reduce((sum, { image }) => sum + image.size, 0) } });
    const byId = new Map(
      items.map(({ pair, target }, index) => [pair.id, { target, result: attacked[index]! }]),
    );
    await writeOutputs(context, { pairs, byId });
  } finally {
    if (attack) await closeAttack(attack);
  }
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

/**
 * Batches whose images act on each other. None is filled up with copies, which would act like images of their own; and an
 * image that is left over joins the batch before, for alone it has nothing to be told from.
 */
function batchesOf(items: readonly AttackItem[], size: number): readonly (readonly AttackItem[])[] {
  const batches = [...inBatches(items, size)];
  if (batches.length > 1 && batches.at(-1)?.length === 1) {
    const [before = [], alone = []] = batches.splice(-2);
    batches.push([...before, ...alone]);
  }
  return batches;
}

/** All that the images of a unit depend on. Where they act on each other, that is the whole batch. */
function memoKey(unit: readonly AttackItem[], height: number, { params, inputs, seed }: AttackContext): Json {
  const { percent: _percent, batchSize: _batchSize, ...settings } = params;
  const together = params.loss === "contrastive_ce";
  return {
    images: unit.map(({ pair, target }) => [pair.image.digest, target.image.digest]),
    model: inputs.model.digest,
    settings: settings as unknown as Json,
    ...(params.randomStart && { start: [seed, ...unit.map(({ pair }) => pair.id)] }),
    ...(together && { height }),
  };
}

/** Which kept results have all their images; others were collected as garbage, and are made again. */
async function stillThere(
  { blobs }: AttackContext,
  found: readonly (readonly Attacked[])[],
): Promise<readonly boolean[]> {
  const images = found.flatMap((unit) => unit.map(({ image }) => image));
  const there = await blobs.has(images);
  const gone = new Set<Digest>(images.flatMap(({ digest }, index) => (there[index] ? [] : [digest])));
  return found.map((unit) => unit.every(({ image }) => !gone.has(image.digest)));
}

function attackedIn({ values }: ItemResults<readonly Attacked[]>): readonly Attacked[] {
  return values.flatMap((unit) => unit ?? []);
}

function meanOf(attacked: readonly Attacked[], field: "cosBefore" | "cosAfter" | "l2"): number {
  const sum = attacked.reduce((total, result) => total + result[field], 0);
  return attacked.length === 0 ? 0 : sum / attacked.length;
}

async function writeOutputs(
  { outputs, params }: AttackContext,
  {
    pairs,
    byId,
  }: {
    readonly pairs: readonly ImageText[];
    /** In the order of noise. */
    readonly byId: ReadonlyMap<string, { readonly target: ImageText; readonly result: Attacked }>;
  },
): Promise<void> {
  const rows = pairs.flatMap((pair) => {
    const found = byId.get(pair.id);
    return found ? [{ pair, ...found }] : [];
  });
  await writePairs(
    outputs.pairs.path,
    rows.map(({ pair, result }) => ({ ...pair, image: result.image })),
  );
  await writeTable(
    outputs.report.path,
    rows.map(({ pair, target, result: { cosBefore, cosAfter, linf, l2 } }) => ({
      id: pair.id,
      target: target.id,
      cosBefore,
      cosAfter,
      linf,
      l2,
    })),
  );
  const attacked = [...byId.values()].map(({ result }) => result);
  const cosBefore = meanOf(attacked, "cosBefore");
  const cosAfter = meanOf(attacked, "cosAfter");
  await writeMetrics(outputs.metrics.path, {
    pairs: pairs.length,
    attacked: attacked.length,
    loss: params.loss,
    norm: params.norm,
    cosBefore,
    cosAfter,
    cosGain: cosAfter - cosBefore,
    linfMax: attacked.reduce((largest, { linf }) => Math.max(largest, linf), 0),
    l2Mean: meanOf(attacked, "l2"),
  });
}
