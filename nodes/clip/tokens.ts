import type { BertConfig, TextConfig } from "./config.ts";

/** Token ids of a batch, cut where nothing is read any more. */
export interface TokenBatch {
  readonly batch: number;
  /** Columns kept. Under a causal mask that is exact up to the last pooled token, else up to the last that is attended to. */
  readonly length: number;
  /** [batch · length], row-major. */
  readonly ids: Int32Array;
  /** Position of the token that each row is pooled at. */
  readonly pooled: readonly number[];
}

/**
 * Prepares token rows for a text tower.
 *
 * @param rows padded ids, all of one length
 */
export function tokenBatch(rows: readonly Int32Array[], text: TextConfig): TokenBatch {
  const pooled = rows.map((row) => (text.tower === "bert" ? 0 : endOf(row, text.eos_id)));
  const length = text.tower === "bert" ? attendedColumns(rows, text) : Math.max(...pooled) + 1;
  const ids = new Int32Array(rows.length * length);
  rows.forEach((row, index) => ids.set(row.subarray(0, length), index * length));
  return { batch: rows.length, length, ids, pooled };
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

function attendedColumns(rows: readonly Int32Array[], text: BertConfig): number {
  if (text.attend_padding) return rows[0]?.length ?? 0;
  return Math.max(...rows.map((row) => textLength(row, text)));
}
