import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { NodeError } from "../engine/sdk.ts";
import { bytesOf, decodeTensor, elements, type Dtype, type TensorData } from "./checkpoints/dtypes.ts";
import { openFile, readExactly, type OpenFile } from "./checkpoints/file.ts";

export { elements, type TensorData };

/** A tensor at rest: row-major values and their shape. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Where a tensor lies in a safetensors file. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Bytes from the beginning of the file. */
  readonly begin: number;
  readonly end: number;
}

/** What a safetensors file says of itself before its values. */
export interface SafetensorsHeader {
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Headers above this size are refused by the reference implementation as well. */
const maxHeader = 100_000_000;

/**
 * Reads a safetensors file whole. F16 and BF16 are widened to float32.
 *
 * @throws NodeError naming file, tensor and offsets where the file is truncated, malformed or of an unknown dtype
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await openFile(path);
  try {
    const { entries, metadata } = await readSafetensorsHeader(file);
    const tensors = new Map<string, StoredTensor>();
    for (const entry of entries) tensors.set(entry.name, await readSafetensorsEntry(file, entry));
    return { tensors, metadata };
  } finally {
    await file.handle.close();
  }
}

/**
 * Reads and checks a safetensors header: enough to recognise an architecture, and to read the tensors one by one.
 *
 * @throws NodeError as `readSafetensors`
 */
export async function readSafetensorsHeader(file: OpenFile): Promise<SafetensorsHeader> {
  const { header, dataStart } = await parseHeader(file);
  const entries: SafetensorsEntry[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      metadata = (value ?? {}) as Record<string, string>;
      continue;
    }
    const entry = toEntry(name, value, dataStart);
    if (typeof entry === "string") throw malformed(file, entry);
    if (entry.end > file.size) throw truncated(file, entry, dataStart);
    entries.push(entry);
  }
  const overlap = findOverlap(entries);
  if (overlap) throw malformed(file, overlap);
  return { entries, metadata };
}

/** Reads the values of one tensor. */
export async function readSafetensorsEntry(file: OpenFile, entry: SafetensorsEntry): Promise<StoredTensor> {
  const bytes = await readExactly(file, entry.begin, entry.end - entry.begin);
  if (!bytes) throw malformed(file, `it became shorter while tensor "${entry.name}" was read`);
  return { shape: entry.shape, data: decodeTensor(bytes, entry.dtype) };
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

function malformed({ path }: OpenFile, what: string): NodeError {
  return new NodeError(`${path} is not a readable safetensors file: ${what}`, {
    hint: "The file may be truncated or of another format: download or convert it again.",
  });
}

async function parseHeader(file: OpenFile): Promise<{ header: object; dataStart: number }> {
  const { size } = file;
  const prefix = await readExactly(file, 0, 8);
  if (!prefix) throw malformed(file, `it has ${size} bytes, fewer than the 8 of a header length`);
  const length = Number(Buffer.from(prefix).readBigUInt64LE());
  if (length > maxHeader || 8 + length > size)
    throw malformed(file, `it announces a header of ${length} bytes, the file has ${size}`);
  const headerBytes = await readExactly(file, 8, length);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(headerBytes));
  } catch {
    throw malformed(file, "its header is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header))
    throw malformed(file, "its header is not a JSON object");
  return { header, dataStart: 8 + length };
}

/** The entry, or what is wrong with it. */
function toEntry(name: string, value: unknown, dataStart: number): SafetensorsEntry | string {
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
  return { name, dtype: dtype as Dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

/** Says which tensors share bytes: a small file must not stand for a large one. */
function findOverlap(entries: readonly SafetensorsEntry[]): string | undefined {
  const ordered = entries.filter(({ begin, end }) => end > begin).toSorted((a, b) => a.begin - b.begin);
  for (const [index, entry] of ordered.entries()) {
    const before = ordered[index - 1];
    if (before && before.end > entry.begin)
      return `its tensors overlap: "${before.name}" and "${entry.name}" lie on the same bytes`;
  }
  return undefined;
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function truncated({ path, size }: OpenFile, entry: SafetensorsEntry, dataStart: number): NodeError {
  return new NodeError(
    `${path} is truncated: tensor "${entry.name}" lies at bytes ${entry.begin - dataStart} to ${entry.end - dataStart} of the data, which ends at ${size - dataStart}`,
    { hint: "Download or copy the file again." },
  );
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, Math.min(bytes.length - done, 1 << 30))).bytesWritten;
  }
}

function dtypeOf(data: TensorData): Dtype {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof BigInt64Array) return "I64";
  if (data instanceof Uint16Array) return "F16";
  return "U8";
}
