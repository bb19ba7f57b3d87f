import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { open } from "lmdb";
import type { Database, RootDatabase } from "lmdb";
import type { Digest } from "../engine/model/ids.ts";
import type { Json } from "../engine/model/json.ts";
import type { StoredResult } from "../engine/model/plan.ts";
import { indexMapSize } from "./address-space.ts";
import { openCommits } from "./commits.ts";
import type { Writes } from "./commits.ts";
import { digestBytes } from "./hash.ts";
import { StoreError, storeError } from "./errors.ts";
import { checkRoomForNew, openRoom } from "./room.ts";
import type { WriteSize } from "./room.ts";
import { temporaryPath } from "./temporary.ts";

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

/**
 * What is known of a run: pipeline, path of its file, end (ms since the epoch), whether it was whole, its roster, its
 * profiles (absent for none, and for what early versions wrote).
 */
export type RunEntry = readonly [
  pipeline: string,
  path: string,
  endedAt: number,
  whole: boolean,
  roster: Digest,
  profiles?: readonly string[],
];
/** A tag: when it was set (ms since the epoch), the pipeline, the run ("" where there is none), the roster. */
export type TagEntry = readonly [at: number, pipeline: string, run: string, roster: Digest];

/** LMDB keys hold at most 1,978 bytes: longer names go by their hash. */
export function fit(key: string): string {
  return key.length <= 600 ? key : digestBytes(key);
}

/** Some writes that belong together. */
export interface IndexWrite extends Writes {
  /** For messages: "cannot ... in the store". */
  readonly doing: string;
  /** About what is added, see `Room`. */
  readonly size: WriteSize;
  /** The write makes space, and may use the room that is kept for it. */
  readonly urgent?: boolean;
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
   * Queues writes, which LMDB commits together with others of the same turn; resolves when they are on the disk. After a
   * commit that failed, every write fails.
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

/** Where LMDB's two meta pages, which begin the file, say what they are; of the two, the last written counts. */
const meta = { magic: 24, pageSize: 48, lastPage: 144, transaction: 152, bytes: 160 } as const;
const magic = 0xbeefc0de;
const defaultPageSize = 4096;

/** LMDB maps a file of whatever content, and the process ends on what it finds there: so it is looked at first. */
function checkIsIndex(folder: string, root: string): void {
  const path = join(folder, "data.mdb");
  if (!existsSync(path)) return;
  const file = openSync(path, "r");
  try {
    // An empty file is what a crash may leave of a store being made, and LMDB fills it.
    if (fstatSync(file).size === 0) return;
    const first = metaPage(file, 0);
    if (first === undefined) throw damaged(root, `${path} is no LMDB file`);
    const second = metaPage(file, first.pageSize);
    const latest = second && second.transaction > first.transaction ? second : first;
    const needed = (latest.lastPage + 1) * latest.pageSize;
    // Asked last: another process may be making this very index, and the file grows before the page that says so.
    const { size } = fstatSync(file);
    if (size < needed) throw damaged(root, `${path} has ${size} of its ${needed} bytes`);
  } finally {
    closeSync(file);
  }
}

function metaPage(
  file: number,
  at: number,
): { readonly pageSize: number; readonly lastPage: number; readonly transaction: bigint } | undefined {
  const page = Buffer.alloc(meta.bytes);
  if (readSync(file, page, 0, page.length, at) < page.length) return undefined;
  if (page.readUInt32LE(meta.magic) !== magic) return undefined;
  return {
    pageSize: page.readUInt32LE(meta.pageSize) || defaultPageSize,
    lastPage: Number(page.readBigUInt64LE(meta.lastPage)),
    transaction: page.readBigUInt64LE(meta.transaction),
  };
}

function damaged(root: string, how: string): StoreError {
  return new StoreError("damaged", `the index of the store ${root} is damaged: ${how}`, {
    hint:
      "restore the folder `index` from a copy; or move it away: the objects stay, `ranflow cache pull` brings back\n" +
      "  the results that were pushed to a shared folder, and the others are made again",
  });
}

/**
 * Opens or makes the environment in a folder. Errors of LMDB are passed on.
 *
 * @throws StoreError where the file is none of LMDB's
 */
export function openIndex(folder: string, root: string, readOnly: boolean): Index {
  checkIsIndex(folder, root);
  if (!readOnly) checkRoomForNew(folder, temporaryPath(root));
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
  const commits = openCommits();
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
    write: async ({ doing, size, urgent = false, ...writes }) => {
      let giveBack = (): void => {};
      try {
        giveBack = room.reserve(size, urgent);
        await commits.add(writes);
      } catch (error) {
        throw storeError(error, doing, root);
      } finally {
        giveBack();
      }
    },
    refresh: () => environment.resetReadTxn(),
    close: async () => {
      if (!commits.failed()) return environment.close();
      // A failed commit leaves memory in a state that shows when it is freed: the process ends without that.
      process.once("beforeExit", () => process.exit());
    },
  };
}
