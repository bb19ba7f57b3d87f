import { bytesOf, type Dtype } from "./dtypes.ts";
import { readExactly, type OpenFile } from "./file.ts";
import { PickleEndsEarly, PickleError } from "./pickle-bytes.ts";
import { findStateDict } from "./state-dict.ts";
import type { TorchFile } from "./torch-zip.ts";
import { torchWorld } from "./torch-world.ts";
import { unpickle } from "./unpickle.ts";

/** The first pickle of a file of torch.save before 1.6. */
const magic = 0x1950a86a20f9469cfc6cn;

/** Pickles come first in the file and do not say how long they are: more is read until they end. */
const firstWindow = 4_000_000;
const largestWindow = 64_000_000;

/**
 * Opens a file that torch.save wrote before 1.6: five pickles, then the storages one after the other, each after its
 * number of elements. The format has no checksums.
 *
 * @throws PickleError where it is no such file, or damaged
 */
export async function openTorchLegacy(file: OpenFile): Promise<TorchFile> {
  const pickles = await readPickles(file);
  const places = await placeStorages(file, pickles);
  return {
    ...findStateDict(pickles.value),
    container: "torch-legacy",
    async readStorage({ key, dtype }, begin, end) {
      const size = bytesOf[dtype];
      const bytes = await readExactly(
        file,
        (places.get(key) ?? file.size) + begin * size,
        (end - begin) * size,
      );
      if (!bytes) throw new PickleError(`the storage ${key} is missing or cut off`);
      return bytes;
    },
  };
}

interface Pickles {
  /** What was saved. */
  readonly value: unknown;
  /** Element types of the storages that it names. */
  readonly dtypes: ReadonlyMap<string, Dtype>;
  /** The storages in the order in which they follow. */
  readonly keys: readonly unknown[];
  /** Where the first storage begins. */
  readonly end: number;
}

async function readPickles(file: OpenFile): Promise<Pickles> {
  for (let window = firstWindow; ; window *= 4) {
    const bytes = await readExactly(file, 0, Math.min(window, file.size));
    try {
      return parsePickles(bytes ?? new Uint8Array());
    } catch (error) {
      if (!(error instanceof PickleEndsEarly) || window >= Math.min(file.size, largestWindow)) throw error;
    }
  }
}

function parsePickles(bytes: Uint8Array): Pickles {
  const dtypes = new Map<string, Dtype>();
  const world = torchWorld({ script: false });
  const noting = {
    ...world,
    persistent(id: unknown) {
      const storage = world.persistent(id);
      dtypes.set(storage.key, storage.dtype);
      return storage;
    },
  };
  let end = 0;
  const next = (): unknown => {
    const read = unpickle(bytes, noting, end);
    end = read.end;
    return read.value;
  };
  if (next() !== magic) throw new PickleError("it is a Python pickle, but none that torch.save wrote");
  next(); // the protocol, 1001 in all versions
  const system = next();
  if (system instanceof Map && system.get("little_endian") !== true)
    throw new PickleError("it was written on a big-endian machine");
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) throw new PickleError("its list of storages is damaged");
  return { value, dtypes, keys: keys as unknown[], end };
}

/** Where the values of each storage begin. */
async function placeStorages(
  file: OpenFile,
  { dtypes, keys, end }: Pickles,
): Promise<ReadonlyMap<string, number>> {
  const places = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const dtype = typeof key === "string" ? dtypes.get(key) : undefined;
    if (typeof key !== "string" || dtype === undefined)
      throw new PickleError("its list of storages is damaged");
    const length = await readExactly(file, at, 8);
    const count = length ? Number(Buffer.from(length).readBigUInt64LE()) : 0;
    const after = at + 8 + count * bytesOf[dtype];
    if (!length || after > file.size)
      throw new PickleError(`it is truncated: the storage ${key} ends at byte ${after} of ${file.size}`);
    places.set(key, at + 8);
    at = after;
  }
  return places;
}
