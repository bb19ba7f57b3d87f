/** How a tokeniser gives ids: in rows of one length. */
export interface RowEncoder {
  /** Ids [contextLength]. */
  encode(text: string): Int32Array;
  /** Ids [texts, contextLength], row by row. */
  encodeBatch(texts: readonly string[]): Int32Array;
}

/** @param encodeInto writes a text's ids into a row of zeros */
export function rowEncoder(
  contextLength: number,
  encodeInto: (text: string, row: Int32Array) => void,
): RowEncoder {
  return {
    encode(text) {
      const row = new Int32Array(contextLength);
      encodeInto(text, row);
      return row;
    },
    encodeBatch(texts) {
      const rows = new Int32Array(texts.length * contextLength);
      texts.forEach((text, index) =>
        encodeInto(text, rows.subarray(index * contextLength, (index + 1) * contextLength)),
      );
      return rows;
    },
  };
}
