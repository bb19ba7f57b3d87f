import { setImmediate } from "node:timers/promises";
import type { Matrix } from "../heads/matrix.ts";
import { noDropout } from "../nn/dropout.ts";
import type { Ops } from "../nn/ops.ts";
import { keyMask } from "../nn/post-norm-attention.ts";
import type { FusionHeader } from "../formats.ts";
import type { Tokens } from "../tokens.ts";
import { fuse, type FusionBatch, type FusionModel } from "./fusion.ts";

/** The tokens of questions and their images on a backend, questions padded to the longest of the batch. The caller frees them. */
export function fusionBatch(
  { config: { heads }, ops }: FusionModel,
  tokens: Tokens,
  rows: readonly number[],
  textPool: FusionHeader["textPool"],
): FusionBatch {
  const records = rows.map((row) => tokens.header.records[row]!);
  const questions = records.map(({ question }) => tokens.header.questions[question]!);
  const length = Math.max(...questions.map((question) => question.length));
  const valid = questions.flatMap((question) =>
    Array.from({ length }, (_, position) => position < question.length),
  );
  return {
    text: {
      rows: textRows(ops, tokens, records, length),
      tokens: length,
      mask: keyMask(ops, valid, { batch: rows.length, heads, keys: length }),
      pooled: questions.map(({ pooled }) => (textPool === "first" ? 0 : pooled)),
    },
    image: {
      rows: imageRows(ops, tokens, records),
      tokens: tokens.image.count,
      pooled: rows.map(() => 0),
    },
  };
}

function textRows(
  ops: Ops,
  { header, text: { starts, values, width } }: Tokens,
  records: readonly { readonly question: number }[],
  length: number,
) {
  const padded = new Float32Array(records.length * length * width);
  records.forEach(({ question }, at) => {
    const start = starts[question]! * width;
    const size = header.questions[question]!.length * width;
    padded.set(values.subarray(start, start + size), at * length * width);
  });
  return ops.tensor(padded, [records.length * length, width]);
}

function imageRows(
  ops: Ops,
  { image: { count, values, width } }: Tokens,
  records: readonly { readonly image: number }[],
) {
  const size = count * width;
  const gathered = new Float32Array(records.length * size);
  records.forEach(({ image }, at) =>
    gathered.set(values.subarray(image * size, (image + 1) * size), at * size),
  );
  return ops.tensor(gathered, [records.length * count, width]);
}

/**
 * The fused features h of questions, without dropout: [rows, 2W].
 *
 * @param options.onBatch hears how many rows are done; may throw to stop
 */
export async function fuseRows(
  model: FusionModel,
  tokens: Tokens,
  rows: readonly number[],
  options: {
    readonly textPool: FusionHeader["textPool"];
    readonly batchSize: number;
    onBatch(done: number): void;
  },
): Promise<Matrix> {
  const { batchSize, textPool } = options;
  const cols = 2 * model.config.width;
  const data = new Float32Array(rows.length * cols);
  for (let start = 0; start < rows.length; start += batchSize) {
    const own = rows.slice(start, start + batchSize);
    const h = model.ops.tidy(() => {
      const batch = fusionBatch(model, tokens, own, textPool);
      return Float32Array.from(model.ops.read(fuse(model, batch, { keep: "nothing", drop: noDropout }).h));
    });
    data.set(h, start * cols);
    // Lets messages in: cancelling has to be heard.
    await setImmediate();
    options.onBatch(start + own.length);
  }
  return { rows: rows.length, cols, data };
}
