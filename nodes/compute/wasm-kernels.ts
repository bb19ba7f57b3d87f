import type * as tfjs from "@tensorflow/tfjs-core";

/** What we use of the wasm backend beyond tfjs-core's interface. */
interface WasmBackend {
  makeOutput(shape: readonly number[], dtype: tfjs.DataType): tfjs.TensorInfo;
  typedArrayFromHeap(tensor: tfjs.TensorInfo): Float32Array | Int32Array | Uint8Array;
  /** Where a tensor's values begin, in bytes. */
  getMemoryOffset(dataId: tfjs.TensorInfo["dataId"]): number;
  /** The next number by which the module knows a tensor. */
  dataIdNextNumber: number;
  readonly wasm: {
    cwrap(name: string, returns: null, parameters: readonly ("number" | "array")[]): ModuleProduct;
    readonly tfjs: {
      registerTensor(id: number, size: number, memoryOffset: number): void;
      disposeData(id: number): void;
    };
  };
}

/** The module's own product of matrices; shapes are the bytes of int32 numbers. */
type ModuleProduct = (
  a: number,
  aShape: Uint8Array,
  aRank: number,
  b: number,
  bShape: Uint8Array,
  bRank: number,
  transposeA: boolean,
  transposeB: boolean,
  out: number,
) => void;

/** Products of matrices one after the other: a [n, rows, inner] · b [n, inner, columns] -> [n, rows, columns]. */
export const eachMatMul = "EachMatMul";

/** Rows of a matrix as columns: x [rows, columns] -> [columns, count], from row `begin` on. */
export const turnedRows = "TurnedRows";

/** Registers kernels that the wasm package does not have and the node library uses. */
export function registerWasmKernels(tf: typeof tfjs): void {
  if (tf.getKernel(eachMatMul, "wasm")) return;
  tf.registerKernel({
    kernelName: "UnsortedSegmentSum",
    backendName: "wasm",
    kernelFunc: ({ inputs, attrs, backend }) =>
      unsortedSegmentSum(
        backend as WasmBackend,
        inputs as unknown as { x: tfjs.TensorInfo; segmentIds: tfjs.TensorInfo },
        (attrs as { numSegments: number }).numSegments,
      ),
  });
  tf.registerKernel({
    kernelName: turnedRows,
    backendName: "wasm",
    kernelFunc: ({ inputs, attrs, backend }) =>
      turned(
        backend as WasmBackend,
        (inputs as unknown as { x: tfjs.TensorInfo }).x,
        attrs as unknown as { begin: number; count: number },
      ),
  });
  let product: ModuleProduct | undefined;
  tf.registerKernel({
    kernelName: eachMatMul,
    backendName: "wasm",
    kernelFunc({ inputs, backend: opened }) {
      const backend = opened as WasmBackend;
      product ??= moduleProduct(backend);
      return productOfEach(backend, product, inputs as unknown as { a: tfjs.TensorInfo; b: tfjs.TensorInfo });
    },
  });
}

function moduleProduct({ wasm }: WasmBackend): ModuleProduct {
  const matrix = ["number", "array", "number"] as const;
  return wasm.cwrap("BatchMatMul", null, [...matrix, ...matrix, "number", "number", "number"]);
}

/**
 * The module hands one product at a time to XNNPACK, and computes batches of them ten times as slowly. So each goes to
 * it on its own, on numbers that stand for a part of the tensors: nothing is copied.
 */
function productOfEach(
  backend: WasmBackend,
  product: ModuleProduct,
  { a, b }: { a: tfjs.TensorInfo; b: tfjs.TensorInfo },
): tfjs.TensorInfo {
  const [count = 0, rows = 0, inner = 0] = a.shape;
  const columns = b.shape[2] ?? 0;
  const output = backend.makeOutput([count, rows, columns], "float32");
  const { registerTensor, disposeData } = backend.wasm.tfjs;
  const id = backend.dataIdNextNumber;
  backend.dataIdNextNumber += 3;
  const parts = [
    { id, size: rows * inner, begin: backend.getMemoryOffset(a.dataId) },
    { id: id + 1, size: inner * columns, begin: backend.getMemoryOffset(b.dataId) },
    { id: id + 2, size: rows * columns, begin: backend.getMemoryOffset(output.dataId) },
  ];
  const aShape = shapeBytes([1, rows, inner]);
  const bShape = shapeBytes([1, inner, columns]);
  for (let index = 0; index < count; index++) {
    for (const part of parts) registerTensor(part.id, part.size, part.begin + index * part.size * 4);
    product(id, aShape, 3, id + 1, bShape, 3, false, false, id + 2);
    // With the right factor goes what XNNPACK has made of it.
    for (const part of parts) disposeData(part.id);
  }
  return output;
}

/** Side of the squares in which rows are turned: one line of the processor's cache. */
const square = 16;

function turned(
  backend: WasmBackend,
  { dataId, shape, dtype }: tfjs.TensorInfo,
  { begin, count }: { readonly begin: number; readonly count: number },
): tfjs.TensorInfo {
  const columns = shape[1] ?? 0;
  const output = backend.makeOutput([columns, count], dtype);
  // Views are taken after the allocation, which may move the heap.
  const values = backend.typedArrayFromHeap({ dataId, shape, dtype });
  const result = backend.typedArrayFromHeap(output);
  for (let top = 0; top < count; top += square) {
    const bottom = Math.min(top + square, count);
    for (let left = 0; left < columns; left += square) {
      const right = Math.min(left + square, columns);
      for (let row = top; row < bottom; row++) {
        const from = (begin + row) * columns;
        for (let column = left, to = left * count + row; column < right; column++, to += count)
          result[to] = values[from + column] as number;
      }
    }
  }
  return output;
}

function shapeBytes(shape: readonly number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(shape).buffer);
}

/**
 * Sums the rows of `x` [N, ...] that have the same segment id [N] into [numSegments, ...]: the gradient of an
 * embedding look-up. A negative id drops its row, as TensorFlow does.
 */
function unsortedSegmentSum(
  backend: WasmBackend,
  { x, segmentIds }: { x: tfjs.TensorInfo; segmentIds: tfjs.TensorInfo },
  numSegments: number,
): tfjs.TensorInfo {
  const rest = x.shape.slice(segmentIds.shape.length);
  const width = rest.reduce((product, size) => product * size, 1);
  const output = backend.makeOutput([numSegments, ...rest], x.dtype);
  // Views are taken after the allocation, which may move the heap.
  const sums = backend.typedArrayFromHeap(output).fill(0);
  const values = backend.typedArrayFromHeap(x);
  const ids = backend.typedArrayFromHeap(segmentIds);
  for (let row = 0; row < ids.length; row++) {
    const segment = ids[row] as number;
    if (segment < 0 || segment >= numSegments) continue;
    const from = row * width;
    const to = segment * width;
    for (let i = 0; i < width; i++) sums[to + i] = (sums[to + i] as number) + (values[from + i] as number);
  }
  return output;
}
