/** Numbers in rows, row-major: what passes between the compute backend and the losses. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float32Array | Float64Array;
}

/** A matrix over existing values. */
export function matrix(rows: number, cols: number, data: Float32Array | Float64Array): Matrix {
  if (data.length !== rows * cols) {
    throw new Error(`internal error: ${data.length} values for a ${rows} x ${cols} matrix`);
  }
  return { rows, cols, data };
}

/** A double-precision matrix of zeros, to accumulate gradients in. */
export function zeros(rows: number, cols: number): Matrix & { readonly data: Float64Array } {
  return { rows, cols, data: new Float64Array(rows * cols) };
}

/** A row's values, in place. */
export function rowOf({ cols, data }: Matrix, row: number): Matrix["data"] {
  return data.subarray(row * cols, (row + 1) * cols);
}

/** Copies the named rows. */
export function gatherRows(
  source: Matrix,
  rows: ArrayLike<number>,
): Matrix & { readonly data: Float32Array } {
  const data = new Float32Array(rows.length * source.cols);
  for (let i = 0; i < rows.length; i++) {
    const start = (rows[i] as number) * source.cols;
    data.set(source.data.subarray(start, start + source.cols), i * source.cols);
  }
  return { rows: rows.length, cols: source.cols, data };
}

/** The transpose, as a copy. */
export function transpose(source: Matrix): Matrix & { readonly data: Float32Array } {
  const { rows, cols } = source;
  const data = new Float32Array(rows * cols);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) data[j * rows + i] = source.data[i * cols + j] as number;
  }
  return { rows: cols, cols: rows, data };
}

/** Adds `weight` times the source to the target. */
export function addScaled(target: Matrix, source: Matrix, weight: number): void {
  for (let i = 0; i < target.data.length; i++) {
    target.data[i] = (target.data[i] as number) + weight * (source.data[i] as number);
  }
}

const minNorm = 1e-12;

/** A row's Euclidean norm, at least 1e-12. */
export function rowNorm({ cols, data }: Matrix, row: number): number {
  let sum = 0;
  for (let t = row * cols; t < (row + 1) * cols; t++) sum += (data[t] as number) ** 2;
  return Math.max(Math.sqrt(sum), minNorm);
}

/** Rows divided by their Euclidean norm (floor 1e-12), with the norms, in double precision. */
export function normalizeRows(source: Matrix): {
  readonly unit: Matrix & { readonly data: Float64Array };
  readonly norms: Float64Array;
} {
  const { rows, cols, data } = source;
  const unit = zeros(rows, cols);
  const norms = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const norm = rowNorm(source, i);
    norms[i] = norm;
    for (let t = i * cols; t < (i + 1) * cols; t++) unit.data[t] = (data[t] as number) / norm;
  }
  return { unit, norms };
}

/** Takes a gradient back through `normalizeRows`: dx = (du - u <u, du>) / |x|. */
export function normalizeRowsBackward(unit: Matrix, norms: Float64Array, grad: Matrix): Matrix {
  const { rows, cols } = unit;
  const result = zeros(rows, cols);
  for (let i = 0; i < rows; i++) {
    let dot = 0;
    for (let t = i * cols; t < (i + 1) * cols; t++)
      dot += (unit.data[t] as number) * (grad.data[t] as number);
    for (let t = i * cols; t < (i + 1) * cols; t++) {
      result.data[t] = ((grad.data[t] as number) - (unit.data[t] as number) * dot) / (norms[i] as number);
    }
  }
  return result;
}
