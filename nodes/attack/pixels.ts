/** [0, 1] to bytes as attacked images are stored: floor(255x + 0.5). */
export function toPng8(values: Float32Array): Uint8Array {
  return Uint8Array.from(values, (value) => Math.min(255, Math.max(0, Math.floor(255 * value + 0.5))));
}

/** Bytes to [0, 1]. */
export function fromPng8(bytes: Uint8Array): Float32Array {
  return Float32Array.from(bytes, (value) => value / 255);
}
