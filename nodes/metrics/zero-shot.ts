import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { normalizeRows, matrix, type Matrix } from "../heads/matrix.ts";
import { embedTexts } from "../clip/embed-texts.ts";
import { openTokenizer, readClipModel } from "../clip/folder.ts";
import type { StoredClip } from "../clip/folder.ts";
import { createClipModel, disposeClipModel } from "../clip/model.ts";
import { openRuntime } from "../compute/runtime.ts";
import { noFinding } from "../data/label-names.ts";
import type { ZeroShotParams } from "../evaluate-zero-shot.ts";
import { readFeatures, type Features } from "../features.ts";
import { writeMetrics, writeTable } from "../records.ts";
import { labelIntervals, labelPredictions, labelsRecord, measureLabel } from "./labels.ts";

type Context = RunContext<
  ZeroShotParams,
  { readonly model: Port; readonly features: Port },
  { readonly metrics: Port; readonly predictions: Port }
>;

/** The texts of one label. */
export interface LabelPrompts {
  readonly name: string;
  readonly positive: readonly string[];
  readonly negative: readonly string[];
}

/** The work of `evaluate.zero-shot`. */
export async function runZeroShot(context: Context): Promise<void> {
  const { inputs, outputs, params } = context;
  const features = await readFeatures(inputs.features);
  const stored = await readClipModel(inputs.model);
  requireFitting(stored, features);
  const prompts = promptsFor(features.header.labels, params);
  const texts = prompts.flatMap(({ negative, positive }) => [...positive, ...negative]);
  const rows = await encode(context, stored, texts);
  const images = normalizeRows(matrix(features.count, features.dim, features.features)).unit;

  let next = 0;
  const direction = (count: number): Float64Array => ensemble(rowsOf(rows, next, (next += count)));
  const measured = prompts.map(({ name, negative, positive }) => {
    const scores = pairScores(images, direction(positive.length), direction(negative.length));
    return measureLabel(name, scores, 0.5, { column: features.header.labels.indexOf(name), features });
  });
  const { dataset, split } = features.header;
  const { headline } = params;
  await writeMetrics(outputs.metrics.path, {
    dataset,
    split,
    domain: "zero-shot",
    headline,
    ...labelsRecord(measured),
    ...labelIntervals(measured, { ...params, seed: context.seed }),
  });
  await writeTable(outputs.predictions.path, labelPredictions(features.header, measured));
}

function requireFitting({ config }: StoredClip, { count, dim, header }: Features): void {
  const problem =
    header.feature === "projected"
      ? dim === config.embed_dim
        ? undefined
        : `the features have ${dim} values and the model's texts ${config.embed_dim}`
      : "the features are from before the projection, where texts and images have no common space";
  if (problem !== undefined) {
    throw new NodeError(problem, {
      hint: "Bind features that clip.embed-images made of the same model, with `feature: projected`.",
    });
  }
  if (count === 0) throw new NodeError(`the features (${header.dataset}, ${header.split}) hold no sample`);
}

/** The texts of each label that is scored. METHOD 10.2. */
export function promptsFor(
  labels: readonly string[],
  { lowerNegative, negative, noFinding: withNoFinding, positive }: ZeroShotParams,
): readonly LabelPrompts[] {
  return labels.flatMap((name): LabelPrompts[] => {
    const words = name.replaceAll("_", " ");
    const filled = (templates: readonly string[], text: string): string[] =>
      templates.map((template) => template.replaceAll("{label}", text));
    // The negation of No Finding is that there is one.
    if (name === noFinding) {
      return withNoFinding ? [{ name, positive: filled(positive, words), negative: ["Finding"] }] : [];
    }
    return [
      {
        name,
        positive: filled(positive, words),
        negative: filled(negative, lowerNegative ? words.toLowerCase() : words),
      },
    ];
  });
}

async function encode(
  { compute, params, progress, provenance, signal }: Context,
  stored: StoredClip,
  texts: readonly string[],
): Promise<Matrix> {
  const tokenizer = await openTokenizer(stored);
  const runtime = await openRuntime(compute);
  provenance(runtime.provenance);
  const model = createClipModel(runtime, stored.config, stored.state);
  try {
    const values = embedTexts(model, tokenizer, texts, {
      batchSize: params.batchSize,
      onBatch(done) {
        signal.throwIfAborted();
        progress(done, texts.length, undefined, "text");
      },
    });
    return matrix(texts.length, stored.config.embed_dim, values);
  } finally {
    disposeClipModel(model);
  }
}

function rowsOf({ cols, data }: Matrix, start: number, end: number): Matrix {
  return matrix(end - start, cols, data.subarray(start * cols, end * cols));
}

/**
 * The direction that several texts stand for: their features, normalised, averaged and normalised again (CheXzero).
 *
 * @param features [n, D]
 * @returns [D]
 */
export function ensemble(features: Matrix): Float64Array {
  const { cols, data, rows } = normalizeRows(features).unit;
  const sum = new Float64Array(cols);
  for (let row = 0; row < rows; row++) for (let t = 0; t < cols; t++) sum[t]! += data[row * cols + t]!;
  return Float64Array.from(normalizeRows(matrix(1, cols, sum)).unit.data);
}

/**
 * For each image, the share of the positive text in the softmax over its two cosines, without a temperature.
 *
 * @param images [N, D] unit rows
 * @param yes [D] unit
 * @param no [D] unit
 */
export function pairScores({ cols, data, rows }: Matrix, yes: Float64Array, no: Float64Array): Float64Array {
  return Float64Array.from({ length: rows }, (_, row) => {
    let difference = 0;
    for (let t = 0; t < cols; t++) difference += data[row * cols + t]! * (yes[t]! - no[t]!);
    return 1 / (1 + Math.exp(-difference));
  });
}
