import { crc32 } from "node:zlib";
import { NodeError } from "../../engine/sdk.ts";
import { openZip, type Entry } from "../zip.ts";
import { bytesOf } from "./dtypes.ts";
import { readExactly, type OpenFile } from "./file.ts";
import { PickleError } from "./pickle-bytes.ts";
import { findStateDict, type StateDict } from "./state-dict.ts";
import { torchWorld, type TorchStorage } from "./torch-world.ts";
import { unpickle } from "./unpickle.ts";

/** A torch file's weights, and the way to their bytes. */
export interface TorchFile extends StateDict {
  readonly container: "torch-zip" | "torch-script" | "torch-legacy";
  /** Bytes of a part of a storage, in elements. */
  readStorage(storage: TorchStorage, begin: number, end: number): Promise<Uint8Array>;
}

/** An entry of the archive. */
interface Stored {
  readonly name: string;
  readonly start: number;
  readonly size: number;
  readonly crc: number;
  /** Why it is not read. TorchScript compresses its code, which nobody asks for. */
  readonly problem: string | undefined;
}

/** Pickles hold names and shapes; those of the largest models have a few megabytes. */
const largestPickle = 64_000_000;

/** How much of a storage is held at once where only a part of it is wanted, but all of it is to be checked. */
const chunk = 16_000_000;

/**
 * Opens a file of torch.save (since 1.6) or torch.jit.save: a zip archive of a pickle and one entry per storage. Only
 * the pickle is read here.
 *
 * @throws NodeError or PickleError where the archive is damaged, compressed, or no archive of PyTorch
 */
export async function openTorchZip(file: OpenFile): Promise<TorchFile> {
  const entries = await listEntries(file);
  const pickle = [...entries.values()].find(({ name }) => /^([^/]+\/)?data\.pkl$/.test(name));
  if (!pickle) throw new PickleError("it is a zip archive, but none that torch.save wrote (no data.pkl)");
  const root = pickle.name.slice(0, -"data.pkl".length);
  const order = entries.get(`${root}byteorder`);
  if (order && Buffer.from(await readEntry(file, order)).toString() !== "little")
    throw new PickleError("it was written on a big-endian machine");
  if (pickle.size > largestPickle)
    throw new PickleError(`its data.pkl has ${pickle.size} bytes, where ${largestPickle} are read at most`);
  const script = entries.has(`${root}constants.pkl`);
  const { value } = unpickle(await readEntry(file, pickle), torchWorld({ script }));
  const found = findStateDict(value);
  const entryOf = (storage: TorchStorage): Stored => storageEntry(entries, `${root}data/`, storage);
  for (const { storage } of found.tensors.values()) entryOf(storage);

  const checked = new Set<string>();
  return {
    ...found,
    container: script ? "torch-script" : "torch-zip",
    async readStorage(storage, begin, end) {
      const entry = entryOf(storage);
      const size = bytesOf[storage.dtype];
      if (begin === 0 && end === storage.count) return readEntry(file, entry);
      if (!checked.has(entry.name)) await checkEntry(file, entry);
      checked.add(entry.name);
      return readPart(file, entry, begin * size, end * size);
    },
  };
}

async function listEntries(file: OpenFile): Promise<ReadonlyMap<string, Stored>> {
  const damaged = (cause: unknown): NodeError =>
    new NodeError(
      `${file.path} is not a zip archive that can be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause, hint: "It is truncated or damaged: download or copy it again." },
    );
  const zip = await openZip(file.path).catch((cause: unknown) => {
    throw damaged(cause);
  });
  const entries = new Map<string, Stored>();
  let total = 0;
  try {
    for await (const entry of zip.entries()) {
      const { fileName: name, compressedSize: size, crc32: crc } = entry;
      if (entries.has(name)) throw new PickleError(`its entry ${name} is there twice`);
      const start = await zip.dataStart(entry);
      total += size;
      // Entries that lie over each other would make a small file stand for a large one.
      if (start + size > file.size || total > file.size)
        throw new PickleError(
          `its entry ${name} claims ${size} bytes, which the file of ${file.size} has not`,
        );
      entries.set(name, { name, start, size, crc, problem: entryProblem(entry) });
    }
  } catch (error) {
    throw error instanceof PickleError ? error : damaged(error);
  } finally {
    zip.close();
  }
  return entries;
}

/** torch.save compresses no pickle and no storage, so that what unpacks to more than it takes is never a checkpoint. */
function entryProblem(entry: Entry): string | undefined {
  if (entry.isEncrypted()) return "is encrypted";
  if (entry.compressionMethod !== 0)
    return `is compressed (${entry.compressedSize} bytes to ${entry.uncompressedSize}), which torch.save does not do`;
  if (entry.compressedSize !== entry.uncompressedSize) return "claims two sizes";
  return undefined;
}

function storageEntry(
  entries: ReadonlyMap<string, Stored>,
  folder: string,
  { key, count, dtype }: TorchStorage,
): Stored {
  const entry = entries.get(folder + key);
  if (!entry) throw new PickleError(`the storage ${key} is missing`);
  if (entry.size !== count * bytesOf[dtype])
    throw new PickleError(
      `the storage ${key} should hold ${count} values of ${dtype} and has ${entry.size} bytes`,
    );
  return entry;
}

async function readEntry(file: OpenFile, entry: Stored): Promise<Uint8Array> {
  const bytes = await readPart(file, entry, 0, entry.size);
  if (crc32(bytes) !== entry.crc) throw wrongChecksum(entry);
  return bytes;
}

async function checkEntry(file: OpenFile, entry: Stored): Promise<void> {
  let sum = 0;
  for (let at = 0; at < entry.size; at += chunk)
    sum = crc32(await readPart(file, entry, at, Math.min(entry.size, at + chunk)), sum);
  if (sum !== entry.crc) throw wrongChecksum(entry);
}

async function readPart(file: OpenFile, entry: Stored, begin: number, end: number): Promise<Uint8Array> {
  if (entry.problem) throw new PickleError(`its entry ${entry.name} ${entry.problem}`);
  const bytes = await readExactly(file, entry.start + begin, end - begin);
  if (!bytes) throw new PickleError("it became shorter while it was read");
  return bytes;
}

function wrongChecksum({ name }: Stored): PickleError {
  return new PickleError(`its entry ${name} is damaged: the bytes are not those of its checksum`);
}
