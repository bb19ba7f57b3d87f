import { zeros, type Matrix } from "./matrix.ts";

/** Eigenvalues, largest first, with their unit eigenvectors as columns. */
export interface Eigen {
  readonly values: Float64Array;
  /** [n, n], column k belongs to value k. */
  readonly vectors: Matrix;
}

const maxSweeps = 60;

/** Eigen-decomposition of a symmetric matrix by cyclic Jacobi rotations, in double precision. */
export function symmetricEigen(symmetric: Matrix): Eigen {
  const n = symmetric.rows;
  const a = Float64Array.from(symmetric.data);
  const vectors = zeros(n, n);
  for (let i = 0; i < n; i++) vectors.data[i * n + i] = 1;
  const at = (i: number, j: number): number => a[i * n + j] as number;

  for (let sweep = 0; sweep < maxSweeps; sweep++) {
    let off = 0;
    let diagonal = 0;
    for (let i = 0; i < n; i++) {
      diagonal += at(i, i) ** 2;
      for (let j = i + 1; j < n; j++) off += at(i, j) ** 2;
    }
    if (off <= 1e-30 * diagonal) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (at(p, q) === 0) continue;
        const theta = (at(q, q) - at(p, p)) / (2 * at(p, q));
        const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        rotateColumns(a, n, p, q, c, t * c);
        rotateRows(a, n, p, q, c, t * c);
        rotateColumns(vectors.data, n, p, q, c, t * c);
      }
    }
  }

  const order = Array.from({ length: n }, (_, i) => i).toSorted((i, j) => at(j, j) - at(i, i));
  const sorted = zeros(n, n);
  order.forEach((from, to) => {
    for (let i = 0; i < n; i++) sorted.data[i * n + to] = vectors.data[i * n + from] as number;
  });
  return { values: Float64Array.from(order, (i) => at(i, i)), vectors: sorted };
}

function rotateColumns(a: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  for (let i = 0; i < n; i++) {
    const x = a[i * n + p] as number;
    const y = a[i * n + q] as number;
    a[i * n + p] = c * x - s * y;
    a[i * n + q] = s * x + c * y;
  }
}

function rotateRows(a: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  for (let j = 0; j < n; j++) {
    const x = a[p * n + j] as number;
    const y = a[q * n + j] as number;
    a[p * n + j] = c * x - s * y;
    a[q * n + j] = s * x + c * y;
  }
}
