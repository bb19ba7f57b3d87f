import { eachMatMul, turnedRows } from "../compute/wasm-kernels.ts";
import type { Ops, Tensor } from "./ops.ts";

/** Multiplications of one product of a batch from which on it is faster on its own. */
const worthItsOwnCall = 20_000;

/** Values of a right factor that is turned on the way: the next one finds the memory of the last in the cache. */
const turnedAtOnce = 2 ** 20;

/** Columns that the kernel computes at a time. */
const kernelWidth = 8;

/** What products on wasm are made of. */
type Basics = Pick<Ops, "concat" | "transpose" | "tidy"> & {
  run(kernel: string, inputs: object, attributes?: object): Tensor;
};

/**
 * Products of matrices on wasm, whose kernel is fast for one product of two matrices as they are, and many times
 * slower for transposed ones and for batches.
 */
export function wasmProducts({ run, concat, transpose, tidy }: Basics): Pick<Ops, "matMul" | "batchMatMul"> {
  const plain = (a: Tensor, b: Tensor): Tensor =>
    run("BatchMatMul", { a, b }, { transposeA: false, transposeB: false });

  const turned = (x: Tensor, begin = 0, count = x.shape[0]): Tensor =>
    run(turnedRows, { x }, { begin, count });

  /** a·bᵀ by groups of columns: each value is the same sum as that of the whole. */
  const timesTurned = (a: Tensor, b: Tensor): Tensor => {
    const [columns = 0] = b.shape;
    const groups = Math.ceil(b.size / turnedAtOnce);
    if (groups <= 1) return plain(a, turned(b));
    const size = kernelWidth * Math.ceil(columns / groups / kernelWidth);
    const parts: Tensor[] = [];
    for (let begin = 0; begin < columns; begin += size) {
      const factor = turned(b, begin, Math.min(size, columns - begin));
      parts.push(plain(a, factor));
      factor.dispose();
    }
    return concat(parts, 1);
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
          ? (transposeB ? timesTurned : plain)(transposeA ? turned(a) : a, b)
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
