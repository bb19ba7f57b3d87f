import { stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { canonicalJson } from "../../cache/canonical.ts";
import { digestFile } from "../../cache/hash.ts";
import { mapLimit } from "../../cache/pool.ts";
import { fileStat } from "../../cache/stat-cache.ts";
import type { ObjectStore } from "../../cache/types.ts";
import type { ExternalList } from "../model/fingerprint.ts";
import type { Digest } from "../model/ids.ts";
import type { JsonObject } from "../model/json.ts";
import type { FileStat } from "../model/protocol.ts";
import { NodeError } from "../sdk.ts";
import type { NodeType, StepProgress } from "../sdk.ts";
import type { DriverChannel } from "./channel.ts";
import { inBatches } from "./batches.ts";

export interface ScanOptions {
  readonly nodeType: NodeType;
  readonly params: JsonObject;
  readonly objects: ObjectStore;
  readonly channel: DriverChannel;
  readonly signal: AbortSignal;
  readonly progress: StepProgress;
  log(message: string): void;
}

/** What a scan found: the dataset, where it lies, and its files by content as an object of the store. */
export interface Scanned {
  readonly root: string;
  readonly dataset: string;
  readonly list: ExternalList;
}

/** A file of the canonical list. */
export type ListedFile = readonly [name: string, digest: Digest, size: number];

const batch = 1_000;
/** Hashing is disk work: a few files at a time keep a disk busy, more of them only make it seek. */
const concurrency = 8;

/**
 * Asks the node type which files its parameters make it read and hashes them, through the stat cache.
 * Undefined where the parameters name no external files.
 */
export async function scanExternal(options: ScanOptions): Promise<Scanned | undefined> {
  const { nodeType, params, objects, signal, log } = options;
  const result = await nodeType.scan?.({ params: params as never, signal, log });
  if (!result) return undefined;
  const { dataset, root } = result;
  const outside = result.files.find(leadsOut);
  if (outside !== undefined) {
    throw new NodeError(`dataset ${dataset}: the name ${JSON.stringify(outside)} leads out of ${root}`, {
      hint: "files of a dataset lie below its folder: correct the table that names this one",
    });
  }
  const files: ListedFile[] = [];
  options.progress(0, result.files.length, undefined, "file");
  for (const names of inBatches(result.files, batch)) {
    signal.throwIfAborted();
    for (const file of await hashBatch({ ...options, dataset, root, names })) files.push(file);
    options.progress(files.length, result.files.length, undefined, "file");
  }
  files.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const { digest } = await objects.putBytes(Buffer.from(canonicalJson(files)));
  return { dataset, root, list: { digest, count: files.length } };
}

/** Names often come from a dataset's own tables, that is, from anywhere. */
function leadsOut(name: string): boolean {
  return name === "" || name.includes("\0") || isAbsolute(name) || name.split("/").includes("..");
}

interface Batch extends ScanOptions {
  readonly dataset: string;
  readonly root: string;
  readonly names: readonly string[];
}

async function hashBatch({ dataset, root, names, channel, signal }: Batch): Promise<readonly ListedFile[]> {
  const at = Date.now();
  const look = (name: string): Promise<FileStat> => statOf(dataset, root, name);
  const stats = await mapLimit(names, 64, look);
  const paths = names.map((name) => join(root, name));
  const asked = paths.map((path, i) => [path, stats[i] as FileStat] as const);
  const known = (await channel.ask({ what: "stat-get", files: asked })) as unknown as (Digest | null)[];
  const fresh: (readonly [path: string, stat: FileStat, digest: Digest])[] = [];
  const digests = await mapLimit(names, concurrency, async (name, i) => {
    const trusted = known[i];
    if (trusted) return trusted;
    signal.throwIfAborted();
    const path = paths[i] as string;
    const { digest } = await readable(dataset, path, digestFile(path));
    const before = stats[i] as FileStat;
    if ((await look(name)).join() !== before.join()) {
      throw new NodeError(`dataset ${dataset}: ${path} changed while it was being read`, {
        hint: "wait until whatever writes to the folder is done, then run again",
      });
    }
    fresh.push([path, before, digest]);
    return digest;
  });
  if (fresh.length > 0) await channel.ask({ what: "stat-put", files: fresh, at });
  return names.map((name, i) => [name, digests[i] as Digest, Number(stats[i]?.[0])]);
}

async function statOf(dataset: string, root: string, name: string): Promise<FileStat> {
  const path = join(root, name);
  const status = await readable(dataset, path, stat(path, { bigint: true }));
  if (!status.isFile()) {
    throw new NodeError(`dataset ${dataset}: ${path} is not a file`, {
      hint: "compare the folder with the dataset's official layout",
    });
  }
  return fileStat(status);
}

async function readable<T>(dataset: string, path: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new NodeError(`dataset ${dataset}: the file ${path} is missing`, {
        hint: "the folder may be only partly copied or unpacked: complete it, then run again",
        cause,
      });
    }
    throw new NodeError(`dataset ${dataset}: ${path} cannot be read: ${message}`, {
      hint: "check its permissions and the disk it lies on",
      cause,
    });
  }
}
