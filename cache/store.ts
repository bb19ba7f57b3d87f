import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Diagnostic } from "../engine/model/diagnostic.ts";
import type { Key } from "../engine/model/ids.ts";
import type { StoredResult } from "../engine/model/plan.ts";
import { err, ok } from "../engine/model/result.ts";
import type { Result } from "../engine/model/result.ts";
import { StoreError, errnoOf, readOnlyError, storeError } from "./errors.ts";
import { checkFormat, makeStore, unusable } from "./format.ts";
import type { Writes } from "./commits.ts";
import { gathered } from "./gathered.ts";
import { collectGarbage } from "./gc.ts";
import { fit, emptyIndex, openIndex } from "./index-db.ts";
import type { Index } from "./index-db.ts";
import { indexElsewhere } from "./index-place.ts";
import { openLeases } from "./leases.ts";
import type { Leases } from "./leases.ts";
import { locate, registerExternal } from "./locators.ts";
import { openObjects } from "./objects.ts";
import { inParts } from "./pool.ts";
import type { WriteSize } from "./room.ts";
import { repairStore } from "./repair.ts";
import { putRoster, readRoster } from "./rosters.ts";
import { runRecordOf, runRecords } from "./run-records.ts";
import { createRun, listRuns } from "./runs.ts";
import { openSnapshot } from "./snapshot.ts";
import { isSettled, knownDigest } from "./stat-cache.ts";
import { storeStatus } from "./status.ts";
import { isTagName, tagOf } from "./tags.ts";
import { removeAll } from "./temporary.ts";
import type { Pointer, Store } from "./types.ts";
import { verifyStore } from "./verify.ts";
import { ranflowVersion } from "./version.ts";

/** How many durations of a node type are kept; their median is the estimate. */
const durationsKept = 9;
/** Results that come within so many ms are committed together: a flush of the disk takes as long as a small step. */
const commitDelay = 5;
/** Entries that are written in one commit: the room for them is found before it. */
const batch = 1_000;

/**
 * Opens the store in a folder, making it where there is none. Where it cannot be written to (a read-only file
 * system, another user's store), and with `readOnly`, it can still be read and planned against: `writable` is
 * false, and every write is a `StoreError`. With `readOnly`, a store that does not exist yet is an empty one.
 *
 * Errors: `store-too-new` (another format), `store-unusable` (anything else).
 */
export async function openStore(options: {
  readonly root: string;
  readonly readOnly?: boolean;
}): Promise<Result<Store, Diagnostic>> {
  const { root } = options;
  const format = await checkFormat(root);
  if (!format.ok) return format;
  const elsewhere = indexElsewhere(root);
  if (elsewhere) return err(elsewhere);
  try {
    const opened = await openParts(root, format.value, options.readOnly ?? false);
    return ok(storeOver(root, opened));
  } catch (error) {
    return err(unusable(error, root));
  }
}

/** What a store is made of. Without leases it is read-only. */
interface Parts {
  readonly index: Index;
  readonly leases: Leases | undefined;
}

async function openParts(root: string, state: "ready" | "empty", readOnly: boolean): Promise<Parts> {
  if (!readOnly) {
    try {
      await makeStore(root, ranflowVersion());
      const index = openIndex(join(root, "index"), root, false);
      try {
        const leases = await openLeases(root);
        // What was forgotten while the leases were waited for must not be seen.
        index.refresh();
        return { index, leases };
      } catch (error) {
        await index.close();
        throw error;
      }
    } catch (error) {
      const cannotWrite = ["EROFS", "EACCES", "EPERM"].includes(errnoOf(error) ?? "");
      if (!cannotWrite || state === "empty") throw error;
    }
  }
  if (!existsSync(join(root, "index", "data.mdb"))) return { index: emptyIndex(), leases: undefined };
  try {
    return { index: openIndex(join(root, "index"), root, true), leases: undefined };
  } catch (error) {
    // LMDB wants its lock file writable even to read; another user's store is read from a copy of its index.
    if (!["EACCES", "EPERM"].includes(errnoOf(error) ?? "")) throw error;
    return { index: await openSnapshot(root), leases: undefined };
  }
}

function pointerKey(pipeline: string, step: string): string {
  return fit(`${JSON.stringify(pipeline)}${step}`);
}

function storeOver(root: string, { index, leases }: Parts): Store {
  const objects = openObjects(root);
  // What this process added is seen at once, before its commit.
  const durations = new Map<string, readonly number[]>();
  let closing: Promise<void> | undefined;

  const durationsOf = (nodeType: string): readonly number[] =>
    durations.get(nodeType) ?? index.durations.get(nodeType) ?? [];

  const writing = (): Leases => {
    if (!leases) throw readOnlyError(root);
    return leases;
  };
  const write = async (
    doing: string,
    size: WriteSize,
    queue: () => readonly PromiseLike<unknown>[],
  ): Promise<void> => {
    writing();
    await index.write({ doing, size, queue });
  };

  const writeResults = async (results: readonly StoredResult[], queue: Writes["queue"]): Promise<void> => {
    writing();
    const outputs = results.flatMap(({ outputs }) => Object.values(outputs).map(({ digest }) => digest));
    const before = (): Promise<void> => objects.flushNames(outputs);
    await index.write({ doing: "commit a result", size: sizeOf(...results), before, queue });
  };

  const pointer = (pipeline: string, step: string): Pointer | undefined => {
    const entry = index.pointers.get(pointerKey(pipeline, step));
    if (!entry) return undefined;
    const [key, run, , , previous] = entry;
    return { key: key as Key, run: run as Pointer["run"], ...(previous && { previous: previous as Key }) };
  };

  return {
    root,
    objects,
    writable: leases !== undefined,

    result: (key) => {
      try {
        return index.results.get(key);
      } catch (cause) {
        throw new StoreError(
          "damaged",
          `the result ${key} in the index of the store ${root} cannot be read`,
          {
            hint: "run `ranflow cache verify --repair`, which drops it: the next run makes it again",
            cause,
          },
        );
      }
    },
    keys: () => Array.from(index.results.getKeys(), (key) => key as Key),
    commit: gathered(commitDelay, async (results) => {
      const won = new Set<StoredResult>();
      await writeResults(results, () =>
        results.flatMap((result) => {
          const writes: PromiseLike<unknown>[] = [];
          const wrote = index.results.ifNoExists(result.key, () => {
            writes.push(index.results.put(result.key, result));
          });
          return [...writes, wrote.then((first) => first && won.add(result))];
        }),
      );
      return results.map((result) => (won.has(result) ? result : (index.results.get(result.key) ?? result)));
    }),
    replace: (result) =>
      writeResults([result], () => [
        index.results.put(result.key, result),
        ...(index.away.doesExist(result.key) ? [index.away.remove(result.key)] : []),
      ]),
    adopt: async (results, from) => {
      const pulledAt = Date.now();
      await inParts(results, batch, async (part) => {
        const adopted = part.map(({ result, away }) => {
          return { result: { ...result, provenance: { ...result.provenance, pulledAt } }, away };
        });
        await write("take shared results", sizeOf(...adopted), () =>
          adopted.map(({ result, away }) =>
            index.results.ifNoExists(result.key, () => {
              void index.results.put(result.key, result);
              if (away) void index.away.put(result.key, from);
            }),
          ),
        );
      });
    },
    fetch: async () => {},
    drop: (key) => write("forget a result", { count: 1, bytes: 0 }, () => [index.results.remove(key)]),

    pointer,
    point: async (pipeline, entries) => {
      const changed = entries.flatMap(([step, { key, run }]) => {
        const before = pointer(pipeline, step);
        if (before?.key === key && before.run === run) return [];
        const previous =
          before === undefined ? "" : before.key === key ? (before.previous ?? "") : before.key;
        return [{ step, entry: [key, run, pipeline, step, previous] as const }];
      });
      await inParts(changed, batch, (part) =>
        write("record the last results", sizeOf(...part), () =>
          part.map(({ step, entry }) => index.pointers.put(pointerKey(pipeline, step), entry)),
        ),
      );
    },

    statGet: (files) => files.map(([path, stat]) => knownDigest(index, path, stat)),
    statPut: async (files, at) => {
      const settled = files.filter(([, stat]) => isSettled(stat, at));
      await inParts(settled, batch, (part) =>
        write("remember file digests", sizeOf(...part), () =>
          part.map(([path, stat, digest]) => index.stats.put(fit(path), [...stat, digest])),
        ),
      );
    },

    locate: (digests) => digests.map((digest) => locate(index, objects, digest)),
    registerExternal: async (dataset, folder, list) => {
      writing();
      await registerExternal(index, objects, { dataset, root: folder, list });
    },

    memoGet: (keys, since = -Infinity) =>
      keys.map((key) => {
        const entry = index.memo.get(fit(key));
        return entry && entry[1] >= since ? entry[0] : undefined;
      }),
    memoPut: async (entries) => {
      const now = Date.now();
      await inParts(entries, batch, (part) =>
        write("remember an item's result", sizeOf(...part), () =>
          part.map(([key, value]) => index.memo.put(fit(key), [value, now])),
        ),
      );
    },

    duration: (nodeType) => median(durationsOf(nodeType)),
    recordDurations: async (nodeType, milliseconds) => {
      writing();
      const last = [...durationsOf(nodeType), ...milliseconds].slice(-durationsKept);
      durations.set(nodeType, last);
      await write("record durations", sizeOf(last), () => [index.durations.put(nodeType, last)]);
    },

    checkpointFolder: (key) => join(root, "checkpoints", key),
    removeCheckpoint: async (key) => {
      writing();
      try {
        await removeAll(join(root, "checkpoints", key));
      } catch (error) {
        throw storeError(error, "remove a checkpoint", root);
      }
    },

    createRun: async () => {
      writing();
      try {
        return await createRun(root);
      } catch (error) {
        throw storeError(error, "begin a run", root);
      }
    },
    runFolder: (id) => join(root, "runs", id),
    runs: () => listRuns(root),

    lease: async (key, signal, onWait) => {
      const release = await writing().acquire(key, signal, onWait);
      // lmdb keeps one view of the index for a turn of the event loop: the last holder's result may be newer.
      index.refresh();
      return release;
    },

    recordRun: async ({ run, pipeline, path, whole, profiles }, entries) => {
      writing();
      const roster = await putRoster(objects, entries);
      const entry = [pipeline, path, Date.now(), whole, roster, profiles] as const;
      await write("record the run", sizeOf(entry), () => [index.runs.put(run, entry)]);
      return runRecordOf(run, entry);
    },
    runRecord: (id) => {
      const entry = index.runs.get(id);
      return entry && runRecordOf(id, entry);
    },
    runRecords: () => runRecords(index),
    roster: (digest) => readRoster(objects, digest),

    tag: (name) => {
      const entry = index.tags.get(name);
      return entry && tagOf(name, entry);
    },
    tags: () => Array.from(index.tags.getRange(), ({ key, value }) => tagOf(key, value)),
    setTag: async ({ name, pipeline, run }, entries) => {
      writing();
      if (!isTagName(name)) throw new Error(`internal error: ${JSON.stringify(name)} cannot name a tag`);
      const roster = await putRoster(objects, entries);
      const entry = [Date.now(), pipeline, run ?? "", roster] as const;
      await write("set a tag", sizeOf(entry), () => [index.tags.put(name, entry)]);
      return tagOf(name, entry);
    },
    deleteTag: async (name) => {
      const there = index.tags.doesExist(name);
      await write("delete a tag", { count: 1, bytes: 0 }, () => [index.tags.remove(name)]);
      return there;
    },

    status: () => storeStatus({ root, index, objects }),
    gc: async (options) => {
      const parts = { root, index, objects, leases: writing() };
      try {
        return await collectGarbage(parts, { ...options, now: Date.now() });
      } catch (error) {
        throw storeError(error, "collect garbage", root);
      }
    },
    verify: (onProgress) => verifyStore({ root, index, objects }, onProgress),
    repair: async (problems) => {
      const parts = { root, index, objects, leases: writing() };
      try {
        return await repairStore(parts, problems);
      } catch (error) {
        throw storeError(error, "drop what is damaged", root);
      }
    },
    close: () => {
      closing ??= (async () => {
        await leases?.close();
        await index.close();
      })();
      return closing;
    },
  };
}

function sizeOf(...values: readonly unknown[]): WriteSize {
  const bytes = values.reduce<number>((sum, value) => sum + JSON.stringify(value).length + 100, 0);
  return { count: values.length, bytes };
}

function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}
