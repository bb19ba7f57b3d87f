/** Numbers of half precision, IEEE 754 binary16. */
const words = new Uint32Array(1);
const floats = new Float32Array(words.buffer);

/**
 * The bits of the nearest half-precision numbers, ties to even. What is larger than 65504 becomes infinite.
 *
 * @returns as `writeSafetensors` stores them: F16, which is read back as float32
 */
export function toHalves(values: Float32Array): Uint16Array {
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) halves[i] = toHalf(values[i] as number);
  return halves;
}

/** Whether a half-precision number is neither infinite nor NaN. */
export function isFiniteHalf(half: number): boolean {
  return (half & 0x7c00) !== 0x7c00;
}

function toHalf(value: number): number {
  floats[0] = value;
  const bits = words[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fff_ffff;
  if (size > 0x7f80_0000) return sign | 0x7e00; // NaN
  if (size >= 0x4780_0000) return sign | 0x7c00; // 2^16 and more, infinity
  // Below 2^-14 a half has a fixed step of 2^-24: adding 0.5 lets single precision, whose step is that there, round.
  if (size < 0x3880_0000) {
    floats[0] = Math.abs(value) + 0.5;
    return sign | ((words[0] as number) - 0x3f00_0000);
  }
  // The exponent's bias falls from 127 to 15; 13 bits of the fraction are rounded away, and a carry raises the exponent.
  const rounded = size - 0x3800_0000 + 0xfff + ((size >>> 13) & 1);
  return sign | (rounded >>> 13);
}
