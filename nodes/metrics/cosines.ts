import { normalizeRows, type Matrix } from "../heads/matrix.ts";

/**
 * Cosines of the rows of two matrices, row by row.
 *
 * @param a [N, D]
 * @param b [N, D]
 */
export function rowCosines(a: Matrix, b: Matrix): Float64Array {
  if (a.rows !== b.rows || a.cols !== b.cols)
    throw new Error(`internal error: rows of ${a.rows} x ${a.cols} and ${b.rows} x ${b.cols} are no pairs`);
  const { cols } = a;
  const left = normalizeRows(a).unit.data;
  const right = normalizeRows(b).unit.data;
  return Float64Array.from({ length: a.rows }, (_, row) => {
    let sum = 0;
    for (let t = row * cols; t < (row + 1) * cols; t++) sum += left[t]! * right[t]!;
    return sum;
  });
}

/** A cosine as a score: itself, or CLIPScore's 2.5 · max(cos, 0) (Hessel et al. 2021). */
export function clipScore(cosine: number, scale: 1 | 2.5): number {
  return scale === 1 ? cosine : scale * Math.max(cosine, 0);
}
