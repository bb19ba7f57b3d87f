import type { FloatTensor } from "./weights.ts";

/** PyTorch layout -> compute layout: linear weights become [in, out], convolutions [kh·kw·in, out]. */
export function toComputeLayout(name: string, { shape, data }: FloatTensor): FloatTensor {
  const [out = 0, inner = 0, height = 0, width = 0] = shape;
  switch (layoutOf(name, shape)) {
    case "linear":
      return { shape: [inner, out], data: transposed(data, out, inner) };
    case "convolution": {
      // Rows in the order in which a patch of an NHWC image lies in memory.
      const area = height * width;
      const result = new Float32Array(data.length);
      for (let o = 0, at = 0; o < out; o++) {
        for (let c = 0; c < inner; c++) {
          for (let i = 0; i < area; i++, at++) result[(i * inner + c) * out + o] = data[at] as number;
        }
      }
      return { shape: [area * inner, out], data: result };
    }
    case "same":
      return { shape, data };
  }
}

/** Compute layout -> PyTorch layout; `shape` is the parameter's PyTorch shape. */
export function toCheckpointLayout(name: string, data: Float32Array, shape: readonly number[]): FloatTensor {
  const [out = 0, inner = 0, height = 0, width = 0] = shape;
  switch (layoutOf(name, shape)) {
    case "linear":
      return { shape, data: transposed(data, inner, out) };
    case "convolution": {
      const area = height * width;
      const result = new Float32Array(data.length);
      for (let o = 0, at = 0; o < out; o++) {
        for (let c = 0; c < inner; c++) {
          for (let i = 0; i < area; i++, at++) result[at] = data[(i * inner + c) * out + o] as number;
        }
      }
      return { shape, data: result };
    }
    case "same":
      return { shape, data };
  }
}

function layoutOf(name: string, shape: readonly number[]): "linear" | "convolution" | "same" {
  if (shape.length === 4) return "convolution";
  // Tables of embeddings are read by rows, and the bare projections are right factors as they are.
  return shape.length === 2 && name.endsWith("weight") && !/embeddings?\.weight$/.test(name)
    ? "linear"
    : "same";
}

/** A matrix [rows, columns], row-major, the other way round. */
export function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++) {
      result[column * rows + row] = data[at] as number;
    }
  }
  return result;
}
