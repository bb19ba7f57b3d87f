import { eachMatMul } from "../compute/wasm-kernels.ts";
import type { Ops, Tensor } from "./ops.ts";

/** Multiplications of one product of a batch from which on it is faster on its own. */
const worthItsOwnCall = 20_000;

/** Rows that are transposed at once. */
const band = 8;

/** What products on wasm are made of. */
type Basics = Pick<Ops, "reshape" | "transpose" | "tidy"> & {
  run(kernel: string, inputs: object, attributes?: object): Tensor;
};

/**
 * Products of matrices on wasm, whose kernel is fast for one product of two matrices as they are, and many times
 * slower for transposed ones and for batches.
 */
export function wasmProducts({ run, reshape, transpose, tidy }: Basics): Pick<Ops, "matMul" | "batchMatMul"> {
  const plain = (a: Tensor, b: Tensor): Tensor =>
    run("BatchMatMul", { a, b }, { transposeA: false, transposeB: false });

  /** By bands of rows: written at once, a column's values fall on few lines of the cache at widths like 1024 or 3072. */
  const turned = (x: Tensor): Tensor => {
    const [rows = 0, columns = 0] = x.shape;
    if (rows % band !== 0) return transpose(x, [1, 0]);
    const bands = transpose(reshape(x, [rows / band, band, columns]), [0, 2, 1]);
    return reshape(transpose(bands, [1, 0, 2]), [columns, rows]);
  };

  return {
    matMul: (a, b, transposeA = false, transposeB = false) => {
      if (!transposeA && !transposeB) return plain(a, b);
      return tidy(() => {
        const [rows = 0, inner = 0] = transposeA ? a.shape.toReversed() : a.shape;
        const columns = b.shape[transposeB ? 0 : 1] as number;
        // a·b = (bᵀ·aᵀ)ᵀ. Beside what is transposed, the kernel rearranges its right factor.
        const straight = (transposeA ? rows * inner : 0) + (transposeB ? 2 : 1) * inner * columns;
        const reversed =
          (transposeA ? 1 : 2) * rows * inner + (transposeB ? 0 : inner * columns) + rows * columns;
        return straight <= reversed
          ? plain(transposeA ? turned(a) : a, transposeB ? turned(b) : b)
          : turned(plain(transposeB ? b : turned(b), transposeA ? a : turned(a)));
      });
    },
    batchMatMul: (a, b, transposeA = false, transposeB = false) => {
      const columns = b.shape[transposeB ? 1 : 2] as number;
      if ((a.size / a.shape[0]) * columns < worthItsOwnCall)
        return run("BatchMatMul", { a, b }, { transposeA, transposeB });
      return tidy(() =>
        run(eachMatMul, {
          a: transposeA ? transpose(a, [0, 2, 1]) : a,
          b: transposeB ? transpose(b, [0, 2, 1]) : b,
        }),
      );
    },
  };
}
