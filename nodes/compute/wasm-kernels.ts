import type * as tfjs from "@tensorflow/tfjs-core";

/** What we use of the wasm backend beyond tfjs-core's interface. */
interface WasmBackend {
  makeOutput(shape: readonly number[], dtype: tfjs.DataType): tfjs.TensorInfo;
  typedArrayFromHeap(tensor: tfjs.TensorInfo): Float32Array | Int32Array | Uint8Array;
}

/** Registers kernels that the wasm package does not have and the node library uses. */
export function registerWasmKernels(tf: typeof tfjs): void {
  if (tf.getKernel("UnsortedSegmentSum", "wasm")) return;
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
