import { symmetricEigen } from "../heads/eigen.ts";
import { normalizeRows, zeros, type Matrix } from "../heads/matrix.ts";

export interface SpectrumOptions {
  /** Subtract the mean of each column (feature), of each row (sample), or nothing. */
  readonly center: "column" | "row" | "none";
  /** Divide rows by their Euclidean norm first. */
  readonly normalize: boolean;
}

/** The singular values of features, and what NMTune reads off them. */
export interface Spectrum {
  /** min(n, d) of them, largest first. */
  readonly singularValues: Float64Array;
  /** Singular value entropy, -sum p ln p in nats. Larger: the features spread over more directions. */
  readonly sve: number;
  /** Largest singular value ratio, -ln(s_1 / sum s). Larger: the leading direction dominates less. */
  readonly lsvr: number;
}

/**
 * Singular value spectrum of a feature matrix, with p_i = s_i / sum s (Chen et al., "Understanding and mitigating the
 * label noise in pre-training on downstream tasks", 2024). Singular values come from the eigenvalues of the smaller
 * Gram matrix, in double precision; those below its rounding count as 0 and have no part in the entropy.
 *
 * @param features [n, d]
 */
export function spectrumOf(features: Matrix, { center, normalize }: SpectrumOptions): Spectrum {
  const rows = normalize ? normalizeRows(features).unit : features;
  const centred = centre(rows, center);
  const { values } = symmetricEigen(smallerGram(centred));
  const rounding = (values[0] ?? 0) * Number.EPSILON * values.length;
  const singularValues = values.map((value) => (value > rounding ? Math.sqrt(value) : 0));
  const sum = singularValues.reduce((total, s) => total + s, 0);
  if (sum === 0) return { singularValues, sve: 0, lsvr: 0 };
  let sve = 0;
  for (const s of singularValues) if (s > 0) sve -= (s / sum) * Math.log(s / sum);
  return { singularValues, sve, lsvr: -Math.log(singularValues[0]! / sum) };
}

function centre(source: Matrix, by: SpectrumOptions["center"]): Matrix {
  const { rows, cols, data } = source;
  if (by === "none") return source;
  const result = zeros(rows, cols);
  const means = new Float64Array(by === "column" ? cols : rows);
  const place = (i: number, j: number): number => (by === "column" ? j : i);
  const count = by === "column" ? rows : cols;
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) means[place(i, j)]! += data[i * cols + j]! / count;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) result.data[i * cols + j] = data[i * cols + j]! - means[place(i, j)]!;
  }
  return result;
}

/** X^T X or X X^T, whichever is smaller. */
function smallerGram({ rows, cols, data }: Matrix): Matrix {
  const size = Math.min(rows, cols);
  const gram = zeros(size, size);
  const upper = gram.data;
  if (cols <= rows) {
    for (let t = 0; t < rows; t++) {
      for (let i = 0; i < cols; i++) {
        const left = data[t * cols + i]!;
        for (let j = i; j < cols; j++) upper[i * size + j]! += left * data[t * cols + j]!;
      }
    }
  } else {
    for (let i = 0; i < rows; i++) {
      for (let j = i; j < rows; j++) {
        let dot = 0;
        for (let t = 0; t < cols; t++) dot += data[i * cols + t]! * data[j * cols + t]!;
        upper[i * size + j] = dot;
      }
    }
  }
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) upper[i * size + j] = upper[j * size + i]!;
  return gram;
}
