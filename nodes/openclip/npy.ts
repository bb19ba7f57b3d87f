/** An array as NumPy's `.npy` (version 1.0): little-endian, in C order. */
export function npy(shape: readonly number[], data: Float32Array | Int32Array): Uint8Array {
  const type = data instanceof Float32Array ? "<f4" : "<i4";
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const fields = `{'descr': '${type}', 'fortran_order': False, 'shape': (${sizes}), }`;
  // Magic, version and length take 10 bytes; the values begin at a multiple of 64.
  const header = fields.padEnd(Math.ceil((10 + fields.length + 1) / 64) * 64 - 11) + "\n";
  const start = Buffer.from([0x93, ..."NUMPY".split("").map((letter) => letter.charCodeAt(0)), 1, 0, 0, 0]);
  start.writeUInt16LE(header.length, 8);
  const values = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([start, Buffer.from(header, "latin1"), values]);
}
