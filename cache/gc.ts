import { mkdir, readdir, rename, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Digest } from "../engine/model/ids.ts";
import { StoreError } from "./errors.ts";
import type { Index } from "./index-db.ts";
import type { Leases } from "./leases.ts";
import { removeOldLeases } from "./leases.ts";
import { inParts } from "./pool.ts";
import { filesOf, mentionedIn, mentionedInValue, namedBy } from "./reach.ts";
import { abandonedTemporaries, removeAll, temporaryPath } from "./temporary.ts";
import type { GcReport, ObjectStore } from "./types.ts";
import { bytesBelow, objectFiles } from "./walk.ts";
import type { ObjectFile } from "./walk.ts";

const day = 24 * 60 * 60 * 1000;
const batch = 1_000;
const smallBatch = 12;

/**
 * Removes what nothing needs: results that no pointer names and that are older than `days`; memo entries older
 * than `days` whose bytes nothing else keeps; objects that nothing kept names or mentions; checkpoints older than
 * `days`, and those of steps that have a result; leftovers of dead processes.
 *
 * While other processes use the store, no result and no memo entry goes, and no object that was put since the first
 * of them began; nor does one that was put since the collection began.
 *
 * @throws StoreError
 */
export async function collectGarbage(
  { root, index, objects, leases }: { root: string; index: Index; objects: ObjectStore; leases: Leases },
  { days, dryRun, now }: { readonly days: number; readonly dryRun: boolean; readonly now: number },
): Promise<GcReport> {
  const oldest = now - days * day;
  let freed = 0;
  const remove = async (path: string): Promise<void> => {
    freed += await bytesBelow(path);
    if (!dryRun) await removeAll(path);
  };

  // Temporary files first: on a full disk, the index needs some room before it can forget anything.
  for (const path of await abandonedTemporaries(root, now)) await remove(path);
  for (const path of await unneededCheckpoints(root, index, leases, oldest)) await remove(path);
  if (!dryRun) await removeOldLeases(root);

  const needed = async (before: number): Promise<Needed> => {
    const { kept, dropped } = sortResults(index, before);
    const live = await reachable(index, objects, kept);
    return { kept, dropped, live, memo: protectMemo(index, live, before) };
  };
  let busySince = leases.othersSince();
  let found = await needed(busySince === undefined ? oldest : -Infinity);
  // Who came while this was looking may have found any result, and counts on it.
  if (busySince === undefined) {
    busySince = leases.othersSince();
    if (busySince !== undefined) found = await needed(-Infinity);
  }
  const { kept, dropped, live, memo } = found;

  if (!dryRun) {
    // The index forgets before the bytes go, so that a crash in between leaves garbage and no broken result.
    await inBatches(dropped, (keys) =>
      index.write({
        doing: "forget results",
        size: { count: keys.length, bytes: 0 },
        urgent: true,
        queue: () => keys.map((key) => index.results.remove(key)),
      }),
    );
    await inBatches(memo.dropped, (keys) =>
      index.write({
        doing: "forget memo entries",
        size: { count: keys.length, bytes: 0 },
        urgent: true,
        queue: () => keys.map((key) => index.memo.remove(key)),
      }),
    );
  }

  const counts = { removed: { objects: 0, bytes: 0 }, kept: { objects: 0, bytes: 0 } };
  for await (const file of objectFiles(root)) {
    const inUse = file.putAt > now || (busySince !== undefined && file.putAt >= busySince);
    const wanted = live.has(file.digest) || inUse;
    const gone = !wanted && (dryRun || (await removeObject(root, file)));
    const side = gone ? counts.removed : counts.kept;
    side.objects++;
    side.bytes += file.size;
  }
  return {
    removed: {
      results: dropped.length,
      objects: counts.removed.objects,
      bytes: counts.removed.bytes + freed,
    },
    kept: { results: kept.length, ...counts.kept },
  };
}

interface Needed {
  readonly kept: readonly string[];
  readonly dropped: readonly string[];
  readonly live: ReadonlySet<Digest>;
  readonly memo: { readonly dropped: readonly string[] };
}

/** Keys of the results to keep and to drop: kept are those that a pointer names, and those finished since `oldest`. */
function sortResults(index: Index, oldest: number): { kept: readonly string[]; dropped: readonly string[] } {
  const pointed = new Set<string>();
  for (const { value } of index.pointers.getRange()) pointed.add(value[0]);
  const kept: string[] = [];
  const dropped: string[] = [];
  for (const { key, value } of index.results.getRange()) {
    (pointed.has(key) || value.provenance.finishedAt > oldest ? kept : dropped).push(key);
  }
  return { kept, dropped };
}

/** Digests that the kept results need: outputs, files of folders, external lists, and what text outputs mention. */
async function reachable(index: Index, objects: ObjectStore, kept: readonly string[]): Promise<Set<Digest>> {
  const live = new Set<Digest>();
  const read = new Set<Digest>();
  for (const key of kept) {
    const result = index.results.get(key);
    if (!result) continue;
    for (const digest of namedBy(result)) live.add(digest);
    for (const artifact of Object.values(result.outputs)) {
      if (read.has(artifact.digest)) continue;
      // A manifest that cannot be read stops the collection: what it names must not go for garbage.
      for (const digest of await filesOf(objects, artifact)) {
        live.add(digest);
        if (read.has(digest)) continue;
        read.add(digest);
        for (const mentioned of await mentionedIn(objects.path(digest))) live.add(mentioned);
      }
    }
  }
  return live;
}

/** Young memo entries keep the bytes they mention; old ones go where their bytes are kept by nothing else. */
function protectMemo(index: Index, live: Set<Digest>, oldest: number): { dropped: readonly string[] } {
  const old: { key: string; mentions: readonly Digest[] }[] = [];
  for (const { key, value } of index.memo.getRange()) {
    const mentions = mentionedInValue(value[0]);
    if (value[1] > oldest) for (const digest of mentions) live.add(digest);
    else if (mentions.length > 0) old.push({ key, mentions });
  }
  return {
    dropped: old
      .filter(({ mentions }) => !mentions.every((digest) => live.has(digest)))
      .map(({ key }) => key),
  };
}

/**
 * Takes an object out of the way, looks at its time once more, and removes it; false where somebody put the same
 * bytes meanwhile, in which case it goes back.
 */
async function removeObject(root: string, file: ObjectFile): Promise<boolean> {
  const trash = temporaryPath(root);
  await mkdir(dirname(trash), { recursive: true });
  try {
    await rename(file.path, trash);
  } catch {
    return false;
  }
  if ((await stat(trash)).mtimeMs !== file.putAt) {
    await rename(trash, file.path);
    return false;
  }
  await removeAll(trash);
  return true;
}

async function unneededCheckpoints(
  root: string,
  index: Index,
  leases: Leases,
  oldest: number,
): Promise<readonly string[]> {
  const folder = join(root, "checkpoints");
  const held = leases.held();
  const unneeded: string[] = [];
  for (const key of await readdir(folder).catch(() => [])) {
    if (held.has(key)) continue;
    const found = await stat(join(folder, key)).catch(() => undefined);
    if (!found) continue;
    if (found.mtimeMs <= oldest || index.results.get(key) !== undefined) unneeded.push(join(folder, key));
  }
  return unneeded;
}

/** Works in batches; on a full disk, in batches so small that they fit the room that is kept for this. */
async function inBatches<T>(items: readonly T[], work: (part: readonly T[]) => Promise<void>): Promise<void> {
  await inParts(items, batch, async (part) => {
    try {
      await work(part);
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "no-space") throw error;
      await inParts(part, smallBatch, work);
    }
  });
}
