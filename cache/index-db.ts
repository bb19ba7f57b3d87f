import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { open } from "lmdb";
import type { Database, RootDatabase } from "lmdb";
import type { Digest } from "../engine/model/ids.ts";
import type { Json } from "../engine/model/json.ts";
import type { StoredResult } from "../engine/model/plan.ts";
import { indexMapSize } from "./address-space.ts";
import { StoreError, storeError } from "./errors.ts";
import { openRoom } from "./room.ts";
import type { WriteSize } from "./room.ts";

/** Last result of a step: key, run, pipeline, step, and the key before that one, "" where there was none. */
export type PointerEntry = readonly [
  key: string,
  run: string,
  pipeline: string,
  step: string,
  previous: string,
];
/** `[size, mtimeNs, ctimeNs, inode, digest]`. */
export type StatEntry = readonly [string, string, string, string, Digest];
/** Places of a digest outside the store, newest first: number of the source, relative name. */
export type LocatorEntry = readonly (readonly [source: number, name: string])[];
/** A dataset folder, and the list of its files that was registered. */
export type SourceEntry = readonly [dataset: string, root: string];
/** A memo value, and when it was put (ms since the epoch). */
export type MemoEntry = readonly [value: Json, at: number];

/** What is known of a run: pipeline, path of its file, end (ms since the epoch), whether it was whole, its roster. */
export type RunEntry = readonly [
  pipeline: string,
  path: string,
  endedAt: number,
  whole: boolean,
  roster: Digest,
];
/** A tag: when it was set (ms since the epoch), the pipeline, the run ("" where there is none), the roster. */
export type TagEntry = readonly [at: number, pipeline: string, run: string, roster: Digest];

/** Some writes that belong together. */
export interface IndexWrite {
  /** For messages: "cannot ... in the store". */
  readonly doing: string;
  /** About what is added, see `Room`. */
  readonly size: WriteSize;
  /** The write makes space, and may use the room that is kept for it. */
  readonly urgent?: boolean;
  readonly queue: () => readonly PromiseLike<unknown>[];
}

/** The store's LMDB environment: one database per kind of record, JSON values. */
export interface Index {
  readonly results: Database<StoredResult, string>;
  readonly pointers: Database<PointerEntry, string>;
  readonly stats: Database<StatEntry, string>;
  readonly locators: Database<LocatorEntry, string>;
  /** Number of a source, as text -> the source. */
  readonly sources: Database<SourceEntry, string>;
  /** Hash of (dataset, root, list) -> source and two of its digests, once all of the list's places are recorded. */
  readonly registered: Database<readonly [source: number, ...samples: Digest[]], string>;
  readonly memo: Database<MemoEntry, string>;
  readonly durations: Database<readonly number[], string>;
  /** Id of a run -> which results it had. */
  readonly runs: Database<RunEntry, string>;
  readonly tags: Database<TagEntry, string>;
  /** Key of a result whose bytes were left in a shared folder -> that folder. */
  readonly away: Database<string, string>;
  /**
   * Queues writes, which LMDB commits together with others of the same turn; resolves when they are on the disk.
   *
   * @throws StoreError
   */
  write(write: IndexWrite): Promise<void>;
  /** Makes the next read see what other processes have committed until now. */
  refresh(): void;
  close(): Promise<void>;
}

function emptyTable<V>(): Database<V, string> {
  const nothing = {
    get: () => undefined,
    doesExist: () => false,
    getRange: () => [],
    getKeys: () => [],
    getKeysCount: () => 0,
  };
  return nothing as unknown as Database<V, string>;
}

/** The index of a store that does not exist yet: nothing in it, and nothing can be written. */
export function emptyIndex(): Index {
  const table = emptyTable;
  return {
    results: table(),
    pointers: table(),
    stats: table(),
    locators: table(),
    sources: table(),
    registered: table(),
    memo: table(),
    durations: table(),
    runs: table(),
    tags: table(),
    away: table(),
    refresh: () => {},
    write: () => Promise.reject(new Error("internal error: write to an empty index")),
    close: async () => {},
  };
}

/** Place and value of LMDB's magic number in the first page of a file. */
const magic = { offset: 24, value: 0xbeefc0de };

/** LMDB maps a file of whatever content, and the process ends on what it finds there: so it is looked at first. */
function checkIsIndex(folder: string, root: string): void {
  const path = join(folder, "data.mdb");
  if (!existsSync(path)) return;
  const file = openSync(path, "r");
  const head = Buffer.alloc(magic.offset + 4);
  const length = readSync(file, head, 0, head.length, 0);
  closeSync(file);
  // An empty file is what a crash may leave of a store being made, and LMDB fills it.
  if (length === 0 || (length === head.length && head.readUInt32LE(magic.offset) === magic.value)) return;
  throw new StoreError("damaged", `the index of the store ${root} is damaged: ${path} is no LMDB file`, {
    hint: "restore the folder `index` from a copy, or choose another store with --store",
  });
}

/**
 * Opens or makes the environment in a folder. Errors of LMDB are passed on.
 *
 * @throws StoreError where the file is none of LMDB's
 */
export function openIndex(folder: string, root: string, readOnly: boolean): Index {
  checkIsIndex(folder, root);
  const environment: RootDatabase = open({
    path: folder,
    readOnly,
    maxDbs: 16,
    encoding: "json",
    // A commit resolves when it is on the disk: no second kind of "done" to keep in mind.
    overlappingSync: false,
    mapSize: indexMapSize(),
    noSubdir: false,
  });
  const database = <V>(name: string): Database<V, string> => {
    const opened = environment.openDB<V, string>({ name, encoding: "json" }) as
      Database<V, string> | undefined;
    // Made by an earlier version: opened for reading, it stays without the table.
    if (!opened && readOnly) return emptyTable<V>();
    if (!opened) throw new Error(`the index has no table ${name}`);
    return opened;
  };
  const room = openRoom(environment, folder);
  return {
    results: database("results"),
    pointers: database("pointers"),
    stats: database("stats"),
    locators: database("locators"),
    sources: database("sources"),
    registered: database("registered"),
    memo: database("memo"),
    durations: database("durations"),
    runs: database("runs"),
    tags: database("tags"),
    away: database("away"),
    write: async ({ doing, size, urgent = false, queue }) => {
      let giveBack: (() => void) | undefined;
      try {
        giveBack = room.reserve(size, urgent);
      } catch (error) {
        throw storeError(error, doing, root);
      }
      const outcomes = await Promise.allSettled(queue());
      giveBack();
      const causes = await Promise.all(
        outcomes.filter((outcome) => outcome.status === "rejected").map(({ reason }) => commitCause(reason)),
      );
      if (causes.length > 0) throw storeError(causes[0], doing, root);
    },
    refresh: () => environment.resetReadTxn(),
    close: () => environment.close(),
  };
}

/** lmdb's "Commit failed" carries the true error as a promise that rejects. */
async function commitCause(reason: unknown): Promise<unknown> {
  const inner = (reason as { commitError?: Promise<unknown> } | undefined)?.commitError;
  if (inner === undefined) return reason;
  let timer: NodeJS.Timeout | undefined;
  try {
    // It comes right after; should it not, the outer error has to do.
    await Promise.race([inner, new Promise((resolve) => (timer = setTimeout(resolve, 2000)))]);
    return reason;
  } catch (cause) {
    return cause;
  } finally {
    clearTimeout(timer);
  }
}
