import { mkdir, readdir, rename, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Database } from "lmdb";
import type { Digest } from "../engine/model/ids.ts";
import { StoreError } from "./errors.ts";
import type { Index } from "./index-db.ts";
import type { Leases } from "./leases.ts";
import { removeOldLeases } from "./leases.ts";
import { inParts } from "./pool.ts";
import { protection } from "./protection.ts";
import { filesOf, mentionedIn, mentionedInValue, namedBy } from "./reach.ts";
import { runRecords } from "./run-records.ts";
import { listRuns, timeOfRun } from "./runs.ts";
import { submissionsIn, timesOf } from "./submissions.ts";
import { abandonedTemporaries, removeAll, temporaryPath } from "./temporary.ts";
import type { GcOptions, GcReport, KeptBy, ObjectStore } from "./types.ts";
import { bytesBelow, objectFiles } from "./walk.ts";
import type { ObjectFile } from "./walk.ts";

const day = 24 * 60 * 60 * 1000;
const batch = 1_000;
const smallBatch = 12;
/** How often what is needed is found out anew because somebody came and went meanwhile. */
const tries = 3;

/**
 * Removes what nothing needs: results that nothing protects (see `protection`), and their pointers; memo entries older
 * than `days` whose bytes nothing else keeps; objects that nothing kept names or mentions; logs of runs older than
 * `days` that made nothing that is kept; checkpoints older than `days`, and those of steps that have a result;
 * leftovers of dead processes.
 *
 * While other processes use the store, no result and no memo entry goes, and no object that was put since the first
 * of them began, nor since a cluster was given steps whose results
 * nobody has taken; nor does one that was put since the collection began. A process that begins while results are being
 * forgotten waits for that, which is short: the bytes go afterwards.
 *
 * @throws StoreError
 */
export async function collectGarbage(
  { root, index, objects, leases }: { root: string; index: Index; objects: ObjectStore; leases: Leases },
  { days, dryRun, now, forget = [] }: GcOptions & { readonly now: number },
): Promise<GcReport> {
  const parts = { root, index, objects };
  const oldest = now - days * day;
  let freed = 0;
  const remove = async (path: string): Promise<void> => {
    freed += await bytesBelow(path);
    if (!dryRun) await removeAll(path);
  };

  // Temporary files first: on a full disk, the index needs some room before it can forget anything.
  for (const path of await abandonedTemporaries(root, now)) await remove(path);
  const submissions = await submissionsIn(root, now);
  for (const path of submissions.abandoned) await remove(path);
  const before = submissions.since === undefined ? oldest : Math.min(oldest, submissions.since - day);
  const checkpoints = await unneededCheckpoints(root, index, leases, before);
  for (const path of checkpoints) await remove(path);
  if (!dryRun) await removeOldLeases(root);

  let openings = leases.openings();
  let busySince = leases.othersSince();
  let found = await needed(parts, { oldest, forget, all: busySince !== undefined });
  if (!dryRun) {
    for (let left = tries; busySince === undefined; left--) {
      if (await leases.alone(openings, () => forgetAll(index, found).then(() => true))) break;
      // Who came while this was looking may have found any result, and counts on it, or has recorded a run.
      openings = leases.openings();
      busySince = leases.othersSince() ?? (left > 1 ? undefined : now);
      found = await needed(parts, { oldest, forget, all: busySince !== undefined });
    }
  }

  const counts = { removed: { objects: 0, bytes: 0 }, kept: { objects: 0, bytes: 0 } };
  for await (const file of objectFiles(root)) {
    // Node 20 sets a time a little less than it was told.
    const putAt = Math.ceil(file.putAt);
    const inUse = putAt > now || putAt >= Math.min(busySince ?? now, submissions.since ?? now);
    const wanted = found.live.has(file.digest) || inUse;
    const gone = !wanted && (dryRun || (await removeObject(root, file)));
    const side = gone ? counts.removed : counts.kept;
    side.objects++;
    side.bytes += file.size;
  }
  const runs = (await listRuns(root)).filter((run) => {
    const began = timeOfRun(run) ?? now;
    return !found.runs.has(run) && began <= oldest && began < (busySince ?? now);
  });
  for (const run of runs) await remove(join(root, "runs", run));
  return {
    removed: {
      results: found.results.length,
      objects: counts.removed.objects,
      bytes: counts.removed.bytes + freed,
      runs: runs.length,
      checkpoints: checkpoints.length,
      memo: found.memo.length,
    },
    kept: { results: found.kept.length, ...counts.kept },
    keptBy: found.keptBy,
    busy: busySince !== undefined,
  };
}

/** What a collection is to keep and to forget. */
interface Needed {
  readonly kept: readonly string[];
  readonly keptBy: KeptBy;
  readonly live: ReadonlySet<Digest>;
  /** Runs whose folders are kept. */
  readonly runs: ReadonlySet<string>;
  /** Keys of the entries that go, by table. */
  readonly results: readonly string[];
  readonly memo: readonly string[];
  readonly pointers: readonly string[];
  readonly records: readonly string[];
}

/** @param all keeps every result, memo entry and run record, whatever its age */
async function needed(
  { index, objects }: { readonly index: Index; readonly objects: ObjectStore },
  {
    oldest,
    forget,
    all,
  }: { readonly oldest: number; readonly forget: readonly string[]; readonly all: boolean },
): Promise<Needed> {
  const { reasons, keptBy, records, rosters } = await protection({ index, objects }, { oldest, forget });
  const kept: string[] = [];
  const results: string[] = [];
  for (const key of index.results.getKeys()) (all || reasons.has(key) ? kept : results).push(key);
  const { live, makers } = await reachable(index, objects, kept);
  for (const roster of rosters) live.add(roster);
  const unneeded = runRecords(index).filter(({ run }) => !records.has(run));
  if (all) for (const { roster } of unneeded) live.add(roster);
  const { dropped } = protectMemo(index, live, all ? -Infinity : oldest);
  return {
    kept,
    keptBy,
    live,
    runs: new Set([...records, ...makers]),
    results,
    memo: dropped,
    pointers: all ? [] : danglingPointers(index, { gone: new Set(results), forget: new Set(forget) }),
    records: all ? [] : unneeded.map(({ run }) => run),
  };
}

/** Pointers that explain nothing any more: their result goes, or the pipeline is not needed. */
function danglingPointers(
  index: Index,
  { gone, forget }: { readonly gone: ReadonlySet<string>; readonly forget: ReadonlySet<string> },
): readonly string[] {
  const dangling: string[] = [];
  for (const { key: name, value } of index.pointers.getRange()) {
    const [key, , pipeline] = value;
    if (gone.has(key) || forget.has(pipeline)) dangling.push(name);
  }
  return dangling;
}

type Forgotten = Pick<Needed, "results" | "memo" | "pointers" | "records">;

/** The index forgets before the bytes go, so that a crash in between leaves garbage and no broken result. */
async function forgetAll(index: Index, { results, memo, pointers, records }: Forgotten): Promise<void> {
  await removeEntries(index, "forget results", index.results, results);
  await removeEntries(index, "forget results", index.away, results);
  await removeEntries(index, "forget memo entries", index.memo, memo);
  await removeEntries(index, "forget last results", index.pointers, pointers);
  await removeEntries(index, "forget runs", index.runs, records);
}

/**
 * Removes entries of a table in batches; on a full disk, in batches so small that they fit the room that is kept for
 * this.
 *
 * @throws StoreError
 */
export async function removeEntries<V>(
  index: Index,
  doing: string,
  table: Database<V, string>,
  keys: readonly string[],
): Promise<void> {
  await inBatches(keys, (part) =>
    index.write({
      doing,
      size: { count: part.length, bytes: 0 },
      urgent: true,
      queue: () => part.map((key) => table.remove(key)),
    }),
  );
}

/**
 * Digests that the kept results need: outputs, files of folders, external lists, and what text outputs mention; and
 * the runs that made them.
 */
async function reachable(
  index: Index,
  objects: ObjectStore,
  kept: readonly string[],
): Promise<{ readonly live: Set<Digest>; readonly makers: ReadonlySet<string> }> {
  const live = new Set<Digest>();
  const makers = new Set<string>();
  const read = new Set<Digest>();
  for (const key of kept) {
    const result = index.results.get(key);
    if (!result) continue;
    makers.add(result.provenance.runId);
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
  return { live, makers };
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
    const savedAt = await lastSaved(join(folder, key));
    if (savedAt === undefined) continue;
    if (savedAt <= oldest || index.results.get(key) !== undefined) unneeded.push(join(folder, key));
  }
  return unneeded;
}

/** When the newest checkpoint of a key was saved, ms: a folder's own time tells only when a variant's was first made. */
async function lastSaved(folder: string): Promise<number | undefined> {
  const variants = await readdir(folder).catch(() => []);
  const times = await timesOf([folder, ...variants.map((variant) => join(folder, variant))]);
  return times.length > 0 ? Math.max(...times) : undefined;
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
