import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { embedImages } from "../clip/embed-images.ts";
import { embedTexts } from "../clip/embed-texts.ts";
import { openTokenizer, readClipModel, type StoredClip } from "../clip/folder.ts";
import { createClipModel, disposeClipModel } from "../clip/model.ts";
import { openRuntime } from "../compute/runtime.ts";
import type { ClipScoreParams } from "../evaluate-clip-score.ts";
import type { ImageText } from "../formats.ts";
import { gatherRows, matrix, type Matrix } from "../heads/matrix.ts";
import { readPairs, readTable, writeMetrics, writeTable } from "../records.ts";
import { bootstrapIntervals } from "./bootstrap.ts";
import { clipScore, rowCosines } from "./cosines.ts";

type Context = RunContext<
  ClipScoreParams,
  {
    readonly model: Port;
    readonly pairs: Port;
    readonly references: Port;
    readonly match: Port & { readonly optional: true };
  },
  { readonly metrics: Port; readonly scores: Port }
>;

/** A pair and what it is compared with. */
interface Compared {
  readonly pair: ImageText;
  readonly reference: ImageText;
}

/** The work of `evaluate.clip-score`. */
export async function runClipScore(context: Context): Promise<void> {
  const { inputs, outputs, params, seed, log } = context;
  const pairs = await readPairs(inputs.pairs.path);
  const compared = matched(pairs, await readPairs(inputs.references.path), await targetsOf(inputs.match));
  const unmatched = pairs.length - compared.length;
  if (compared.length === 0 && pairs.length > 0) throw noReference(pairs.length, inputs.match !== undefined);
  if (pairs.length === 0) log("there are no pairs to compare: the score has no value", "warning");
  if (unmatched > 0) log(`${unmatched} of ${pairs.length} pairs have no reference and are left out`);

  const cosines = compared.length === 0 ? [] : await measure(context, compared);
  const scores = cosines.map((cosine) => clipScore(cosine, params.scale));
  const { compare, encoder, scale } = params;
  await writeMetrics(outputs.metrics.path, {
    ...(encoder !== "" && { encoder }),
    compare,
    scale,
    headline: "clipScore",
    clipScore: scores.length === 0 ? null : scores.reduce((sum, score) => sum + score, 0) / scores.length,
    ...bootstrapIntervals(
      scores.length,
      (weights) => ({
        clipScore: scores.reduce((sum, score, row) => sum + weights[row]! * score, 0) / scores.length,
      }),
      { ...params, seed },
    ),
    n: scores.length,
    unmatched,
  });
  await writeTable(
    outputs.scores.path,
    compared.map(({ pair, reference }, row) => ({
      id: pair.id,
      reference: reference.id,
      cosine: cosines[row] as number,
      score: scores[row] as number,
    })),
  );
}

/** Id of each pair's reference, by the pair's id; undefined where pairs and references share their ids. */
async function targetsOf(
  match: Context["inputs"]["match"],
): Promise<ReadonlyMap<string, string> | undefined> {
  if (!match) return undefined;
  const rows = await readTable(match.path);
  return new Map(
    rows.map(({ id, target }) => {
      if (typeof id === "string" && typeof target === "string") return [id, target];
      throw new NodeError("a row of `match` does not say id and target", {
        hint: "Bind the report of attack.image-pgd, or a table with these two columns of text.",
      });
    }),
  );
}

function matched(
  pairs: readonly ImageText[],
  references: readonly ImageText[],
  targets: ReadonlyMap<string, string> | undefined,
): readonly Compared[] {
  const byId = new Map(references.map((reference) => [reference.id, reference]));
  return pairs.flatMap((pair) => {
    const id = targets ? targets.get(pair.id) : pair.id;
    const reference = id === undefined ? undefined : byId.get(id);
    return reference ? [{ pair, reference }] : [];
  });
}

function noReference(pairs: number, byMatch: boolean): NodeError {
  return new NodeError(`none of the ${pairs} pairs has a reference`, {
    hint: byMatch
      ? "Bind as `match` the report of the attack on these pairs, and as `references` the records it drew its targets from."
      : "Pairs and references go by the same ids; where an attack gave each pair a target, bind its report as `match`.",
  });
}

async function measure(context: Context, compared: readonly Compared[]): Promise<readonly number[]> {
  const { params, inputs } = context;
  const [left, right] = params.compare.split("-") as ["image" | "text", "image" | "text"];
  const encoder = await openEncoder(context, await readClipModel(inputs.model), 2 * compared.length);
  try {
    const a = await encoder[left](compared.map(({ pair }) => pair));
    const b = await encoder[right](compared.map(({ reference }) => reference));
    return [...rowCosines(a, b)];
  } finally {
    encoder.close();
  }
}

interface Encoder {
  /** Features of the records' images, [N, D]. Each image is encoded once. */
  image(records: readonly ImageText[]): Promise<Matrix>;
  /** Features of their captions. */
  text(records: readonly ImageText[]): Promise<Matrix>;
  close(): void;
}

async function openEncoder(context: Context, stored: StoredClip, total: number): Promise<Encoder> {
  const { params, progress, signal } = context;
  const runtime = await openRuntime(context.compute);
  context.provenance(runtime.provenance);
  const model = createClipModel(runtime, stored.config, stored.state);
  const { batchSize } = params;
  const dim = stored.config.embed_dim;
  let before = 0;
  /** Progress over the records, of which some share their image or text. */
  const onBatch = (records: number, distinct: number) => (done: number) => {
    signal.throwIfAborted();
    progress(before + (records * done) / distinct, total);
    if (done === distinct) before += records;
  };
  const spread = <T>(records: readonly T[], keys: readonly string[], features: Float32Array): Matrix => {
    const distinct = matrix(features.length / dim, dim, features);
    const rows = new Map([...new Set(keys)].map((key, row) => [key, row]));
    return gatherRows(
      distinct,
      records.map((_, index) => rows.get(keys[index] as string) as number),
    );
  };
  return {
    async image(records) {
      const byDigest = new Map(records.map((record) => [record.image.digest as string, record]));
      const features = await embedImages(context, model, [...byDigest.values()], {
        feature: "projected",
        batchSize,
        onBatch: onBatch(records.length, byDigest.size),
      });
      return spread(
        records,
        records.map(({ image }) => image.digest),
        features,
      );
    },
    async text(records) {
      const captions = records.map(({ caption }) => params.prefix + caption);
      const distinct = [...new Set(captions)];
      const features = embedTexts(model, await openTokenizer(stored), distinct, {
        batchSize,
        onBatch: onBatch(records.length, distinct.length),
      });
      return spread(records, captions, features);
    },
    close: () => disposeClipModel(model),
  };
}
