import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { NodeError } from "../engine/sdk.ts";

export type TensorData = Float32Array | Int32Array | BigInt64Array | Uint8Array;

/** A tensor at rest: row-major values and their shape. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

const bytesOf = { F32: 4, F16: 2, BF16: 2, I32: 4, I64: 8, U8: 1 } as const;
type Dtype = keyof typeof bytesOf;

/** Headers above this size are refused by the reference implementation as well. */
const maxHeader = 100_000_000;

/**
 * Reads a safetensors file whole. F16 and BF16 are widened to float32.
 *
 * @throws NodeError naming file, tensor and offsets where the file is truncated, malformed or of an unknown dtype
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await openToRead(path);
  try {
    const size = (await file.stat()).size;
    const { entries, metadata, dataStart } = await readHeader(file, path, size);
    const tensors = new Map<string, StoredTensor>();
    for (const entry of entries) {
      const bytes = await readExactly(file, dataStart + entry.begin, entry.end - entry.begin);
      if (!bytes) throw truncated(path, entry, size - dataStart);
      tensors.set(entry.name, { shape: entry.shape, data: decode(bytes, entry.dtype) });
    }
    return { tensors, metadata };
  } finally {
    await file.close();
  }
}

/**
 * Names, dtypes and shapes of a safetensors file, without its values: enough to recognise an architecture.
 *
 * @throws NodeError as `readSafetensors`
 */
export async function readSafetensorsShapes(path: string): Promise<ReadonlyMap<string, readonly number[]>> {
  const file = await openToRead(path);
  try {
    const { entries } = await readHeader(file, path, (await file.stat()).size);
    return new Map(entries.map(({ name, shape }) => [name, shape]));
  } finally {
    await file.close();
  }
}

/**
 * Writes tensors as safetensors. The same tensors give the same bytes whatever order they come in: they are laid
 * out by element size, then name, as the reference implementation does.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [name: string, tensor: StoredTensor]>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const ordered = [...tensors].toSorted(
    ([nameA, a], [nameB, b]) =>
      b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT || (nameA < nameB ? -1 : nameA > nameB ? 1 : 0),
  );
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header["__metadata__"] = metadata;
  let offset = 0;
  for (const [name, { shape, data }] of ordered) {
    if (elements(shape) !== data.length) {
      throw new Error(
        `internal error: tensor ${name} has ${data.length} values for shape [${shape.join(", ")}]`,
      );
    }
    header[name] = { dtype: dtypeOf(data), shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8, " ");
  text.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));

  const file = await open(path, "w");
  try {
    await writeAll(file, length);
    await writeAll(file, padded);
    for (const [, { data }] of ordered) {
      await writeAll(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  } finally {
    await file.close();
  }
}

/** Number of elements of a shape; 1 for a scalar. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

async function openToRead(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (cause) {
    throw new NodeError(`cannot open ${path}`, {
      cause,
      hint: "Check that the file exists and may be read.",
    });
  }
}

async function readHeader(
  file: FileHandle,
  path: string,
  size: number,
): Promise<{ entries: TensorEntry[]; metadata: Record<string, string>; dataStart: number }> {
  const malformed = (what: string): NodeError =>
    new NodeError(`${path} is not a readable safetensors file: ${what}`, {
      hint: "The file may be truncated or of another format: download or convert it again.",
    });
  const prefix = await readExactly(file, 0, 8);
  if (!prefix) throw malformed(`it has ${size} bytes, fewer than the 8 of a header length`);
  const length = Number(Buffer.from(prefix).readBigUInt64LE());
  if (length > maxHeader || 8 + length > size) {
    throw malformed(`it announces a header of ${length} bytes, the file has ${size}`);
  }
  const headerBytes = await readExactly(file, 8, length);
  if (!headerBytes) throw malformed("its header ends early");
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(headerBytes));
  } catch {
    throw malformed("its header is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    throw malformed("its header is not a JSON object");
  }
  const dataStart = 8 + length;
  const entries: TensorEntry[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      metadata = (value ?? {}) as Record<string, string>;
      continue;
    }
    const entry = toEntry(name, value);
    if (typeof entry === "string") throw malformed(entry);
    if (entry.end > size - dataStart) throw truncated(path, entry, size - dataStart);
    entries.push(entry);
  }
  // A few bytes that a million tensors share would be read a million times.
  const total = entries.reduce((sum, { begin, end }) => sum + end - begin, 0);
  if (total > size - dataStart) throw malformed("its tensors overlap");
  return { entries, metadata, dataStart };
}

/** The entry, or what is wrong with it. */
function toEntry(name: string, value: unknown): TensorEntry | string {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  if (typeof dtype !== "string" || !isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    return `tensor "${name}" has no valid dtype, shape and data_offsets`;
  }
  if (!Object.hasOwn(bytesOf, dtype)) {
    return `tensor "${name}" has dtype ${dtype}; readable are ${Object.keys(bytesOf).join(", ")}`;
  }
  const [begin = 0, end = 0] = offsets;
  const expected = elements(shape) * bytesOf[dtype as Dtype];
  if (end - begin !== expected) {
    return `tensor "${name}" of shape [${shape.join(", ")}] needs ${expected} bytes, its offsets are ${begin} to ${end}`;
  }
  return { name, dtype: dtype as Dtype, shape, begin, end };
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function truncated(path: string, entry: TensorEntry, available: number): NodeError {
  return new NodeError(
    `${path} is truncated: tensor "${entry.name}" lies at bytes ${entry.begin} to ${entry.end} of the data, which ends at ${available}`,
    { hint: "Download or copy the file again." },
  );
}

async function readExactly(
  file: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(length);
  // One read call returns at most 2 GiB.
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 1 << 30), position + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return bytes;
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, Math.min(bytes.length - done, 1 << 30))).bytesWritten;
  }
}

function dtypeOf(data: TensorData): Dtype {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof BigInt64Array) return "I64";
  return "U8";
}

function decode(bytes: Uint8Array, dtype: Dtype): TensorData {
  const { buffer } = bytes;
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "I64":
      return new BigInt64Array(buffer);
    case "U8":
      return bytes;
    case "BF16": {
      const halves = new Uint16Array(buffer);
      const words = new Uint32Array(halves.length);
      for (let i = 0; i < halves.length; i++) words[i] = (halves[i] as number) << 16;
      return new Float32Array(words.buffer);
    }
    case "F16":
      return Float32Array.from(new Uint16Array(buffer), halfToFloat);
  }
}

/** IEEE 754 binary16 to a number. */
function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}
