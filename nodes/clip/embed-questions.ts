import { setImmediate } from "node:timers/promises";
import type { Port, RunContext } from "../../engine/sdk.ts";
import type { EmbedQuestionsParams } from "../clip-embed-questions.ts";
import { openRuntime } from "../compute/runtime.ts";
import { distinct } from "../distinct.ts";
import { toHalves } from "../half.ts";
import { readQuestions } from "../records.ts";
import { tokensRecords, writeTokens } from "../tokens.ts";
import { openTokenizer, readClipModel } from "./folder.ts";
import { imageBatches } from "./image-batches.ts";
import { createClipModel, disposeClipModel, type ClipModel } from "./model.ts";
import { inBatches } from "./prefetch.ts";
import { encodeTextTokens } from "./text.ts";
import { textLength, tokenBatch } from "./tokens.ts";
import { encodeImageTokens } from "./vision.ts";

type Context = RunContext<
  EmbedQuestionsParams,
  { readonly model: Port; readonly questions: Port },
  { readonly tokens: Port }
>;

/** The work of `clip.embed-questions` (METHOD 9). */
export async function embedQuestions(context: Context): Promise<void> {
  const { compute, inputs, outputs, progress, provenance, signal } = context;
  const { header, records } = await readQuestions(inputs.questions.path);
  const images = distinct(records, ({ image }) => image.digest);
  const questions = distinct(records, ({ question }) => question);
  const stored = await readClipModel(inputs.model);
  const tokenizer = await openTokenizer(stored);
  const rows = questions.items.map(({ question }) => tokenizer.encode(question));

  const runtime = await openRuntime(compute);
  provenance(runtime.provenance);
  const model = createClipModel(runtime, stored.config, stored.state);
  let done = 0;
  const onDone = async (count: number): Promise<void> => {
    progress((done += count), images.items.length + rows.length, undefined, "item");
    await setImmediate();
    signal.throwIfAborted();
  };
  try {
    const image = await imageTokens(context, model, images.items, onDone);
    const text = await textTokens(context, model, rows, onDone);
    await writeTokens(
      outputs.tokens.path,
      {
        ...header,
        records: tokensRecords(records, { images: images.rows, texts: questions.rows }),
        questions: questions.items.map(({ question }, at) => ({ text: question, ...text.places[at]! })),
      },
      { image, text: text.tensor },
    );
  } finally {
    disposeClipModel(model);
  }
}

type OnDone = (count: number) => Promise<void>;

async function imageTokens(
  { blobs, params }: Context,
  model: ClipModel,
  images: Parameters<typeof imageBatches>[0],
  onDone: OnDone,
): Promise<{ readonly shape: readonly number[]; readonly data: Uint16Array }> {
  const { config, ops } = model;
  let each: readonly number[] = [0, 0];
  let data = new Uint16Array(0);
  let at = 0;
  for await (const { pixels, shape } of imageBatches(images, config, { ...params, blobs })) {
    const halves = ops.tidy(() => {
      const tokens = encodeImageTokens(model, ops.tensor(pixels, shape)); // [B, N, W]
      each = tokens.shape.slice(1);
      return toHalves(ops.read(tokens));
    });
    if (at === 0) data = new Uint16Array((halves.length / shape[0]) * images.length);
    data.set(halves, at);
    at += halves.length;
    await onDone(shape[0]);
  }
  return { shape: [images.length, ...each], data };
}

async function textTokens(
  { params }: Context,
  model: ClipModel,
  rows: readonly Int32Array[],
  onDone: OnDone,
): Promise<{
  readonly tensor: { readonly shape: readonly number[]; readonly data: Uint16Array };
  readonly places: readonly { readonly length: number; readonly pooled: number }[];
}> {
  const { ops } = model;
  const { text_cfg: text } = model.config;
  const places: { length: number; pooled: number }[] = [];
  const lengths = rows.map((row) => textLength(row, text));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const data = new Uint16Array(total * text.width);
  let at = 0;
  for (const batch of inBatches(rows, params.batchSize)) {
    const tokens = tokenBatch(batch, text);
    const halves = ops.tidy(() => toHalves(ops.read(encodeTextTokens(model, tokens)))); // [B, length, V]
    for (const [index, pooled] of tokens.pooled.entries()) {
      const length = lengths[places.length]!;
      const start = index * tokens.length * text.width;
      data.set(halves.subarray(start, start + length * text.width), at);
      at += length * text.width;
      places.push({ length, pooled });
    }
    await onDone(batch.length);
  }
  return { tensor: { shape: [total, text.width], data }, places };
}
