/** Values of a tensor at rest. Half precisions are widened to float32, small integers to int32; BOOL stays bytes. `Uint16Array` holds the bits of half precision: it is only written (`toHalves`). */
export type TensorData = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint16Array | Uint8Array;

/** Element types that are read, as safetensors names them, with their size in bytes. */
export const bytesOf = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

export type Dtype = keyof typeof bytesOf;

/** Number of elements of a shape; 1 for a scalar. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Values from their little-endian bytes. Takes the buffer over: `bytes` must begin and end with it. */
export function decodeTensor(bytes: Uint8Array, dtype: Dtype): TensorData {
  const buffer = bytes.buffer as ArrayBuffer;
  switch (dtype) {
    case "F64":
      return new Float64Array(buffer);
    case "F32":
      return new Float32Array(buffer);
    case "I64":
      return new BigInt64Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "I16":
      return Int32Array.from(new Int16Array(buffer));
    case "I8":
      return Int32Array.from(new Int8Array(buffer));
    case "U8":
    case "BOOL":
      return bytes;
    case "BF16": {
      const halves = new Uint16Array(buffer);
      const words = new Uint32Array(halves.length);
      for (let i = 0; i < halves.length; i++) words[i] = (halves[i] as number) << 16;
      return new Float32Array(words.buffer);
    }
    case "F16": {
      const halves = new Uint16Array(buffer);
      const values = new Float32Array(halves.length);
      const table = halfTable();
      for (let i = 0; i < halves.length; i++) values[i] = table[halves[i] as number] as number;
      return values;
    }
  }
}

let halves: Float32Array | undefined;

/** Each of the 65,536 half-precision numbers: a large model in half precision is widened in a second. */
function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 65_536 }, (_, bits) => halfToFloat(bits));
  return halves;
}

/** IEEE 754 binary16 to a number. */
function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}
