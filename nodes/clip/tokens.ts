import type { Ops, Tensor } from "../nn/ops.ts";
import type { TextConfig } from "./config.ts";

/** Token ids of a batch, cut where nothing is read any more. */
export interface TokenBatch {
  readonly batch: number;
  /** Columns kept. Under a causal mask that is exact up to the last pooled token, else up to the last that is attended to. */
  readonly length: number;
  /** [batch · length], row-major. */
  readonly ids: Int32Array;
  /** Position of the token that each row is pooled at. */
  readonly pooled: readonly number[];
  /** Number of tokens of each row that belong to its text. */
  readonly lengths: readonly number[];
  /** [batch · length · width], added to the embeddings of the tokens. */
  readonly noise?: Float32Array;
}

/**
 * Prepares token rows for a text tower.
 *
 * @param rows padded ids, all of one length
 */
export function tokenBatch(rows: readonly Int32Array[], text: TextConfig): TokenBatch {
  const pooled = rows.map((row) => (text.tower === "bert" ? 0 : endOf(row, text.eos_id)));
  const lengths = rows.map((row) => textLength(row, text));
  const attendAll = text.tower === "bert" && text.attend_padding;
  const length = attendAll ? (rows[0]?.length ?? 0) : Math.max(...lengths);
  const ids = new Int32Array(rows.length * length);
  rows.forEach((row, index) => ids.set(row.subarray(0, length), index * length));
  return { batch: rows.length, length, ids, pooled, lengths };
}

/** Where a text ends: at its first token of the id, or where none is told at its first largest id. */
function endOf(row: Int32Array, eos: number | undefined): number {
  // A row without the token is pooled at its start, as torch's argmax over all zeros has it.
  if (eos !== undefined) return Math.max(0, row.indexOf(eos));
  let end = 0;
  row.forEach((id, at) => {
    if (id > (row[end] as number)) end = at;
  });
  return end;
}

/** How many tokens of a row belong to its text: up to the end of text of CLIP's, up to the last that is no padding of BERT's. */
export function textLength(row: Int32Array, text: TextConfig): number {
  if (text.tower === "bert") return Math.max(1, row.findLastIndex((id) => id !== text.pad_id) + 1);
  return endOf(row, text.eos_id) + 1;
}

/** Embeddings of a batch's tokens by a table [vocabulary, width], with the batch's noise: [batch · length, width]. */
export function embedTokens(ops: Ops, table: Tensor, ids: Tensor, { noise }: TokenBatch): Tensor {
  const embedded = ops.gatherRows(table, ids);
  return noise ? ops.add(embedded, ops.tensor(noise, embedded.shape)) : embedded;
}
