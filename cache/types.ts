/**
 * The content-addressed store, as the driver sees it. Workers see only `ObjectStore` (files, no LMDB).
 *
 *   <store>/
 *     format.json            { "format": 1, "ranflow": "0.1.0" }
 *     index/                 LMDB: results, pointers, stat cache, memo, locators, durations
 *     objects/ab/cdef...     bytes by SHA-256, read-only
 *     checkpoints/<key>/...  state of unfinished steps
 *     runs/<run id>/         events.ndjson, and a log of each step that had something to say
 *     tmp/                   everything unfinished
 */
import type { ArtifactRef, BlobRef, FolderManifest } from "../engine/model/artifact.ts";
import type { Digest, Key, RunId, StepId } from "../engine/model/ids.ts";
import type { Json } from "../engine/model/json.ts";
import type { StoredResult } from "../engine/model/plan.ts";
import type { FileStat, Locator } from "../engine/model/protocol.ts";

/** Object files: plain file system, safe from any number of processes. */
export interface ObjectStore {
  /** Folder of the store. */
  readonly root: string;
  /** Absolute path of an object, whether or not it is there. */
  path(digest: Digest): string;
  has(digest: Digest): boolean;
  /** Writes bytes under their digest: temporary name, flush, read-only, rename. */
  putBytes(bytes: Uint8Array): Promise<BlobRef>;
  /** Moves a file in, hashing it. The file is gone afterwards. Same bytes twice is no error. */
  putFile(path: string): Promise<BlobRef>;
  /**
   * Moves a file or a folder (all its files, then its manifest) in as an artifact. A file's name is on the disk only
   * after `flushNames`: whoever commits the result sees to that, so that no worker waits for it.
   */
  putArtifact(path: string, kind: "file" | "folder"): Promise<ArtifactRef>;
  /** Sees to it that a crash of the machine does not undo what gave objects their names. */
  flushNames(digests: readonly Digest[]): Promise<void>;
  /** Manifest of a folder artifact. */
  manifest(digest: Digest): Promise<FolderManifest>;
  /** True where the artifact's own bytes, and those of a folder's files, are all there. */
  complete(artifact: ArtifactRef): Promise<boolean>;
}

/** The last result of a step under a pipeline's name, for `plan` and `explain`. */
export interface Pointer {
  readonly key: Key;
  readonly run: RunId;
  /** The key before this one, so that `explain` can say what the last change was. Set by the store. */
  readonly previous?: Key;
}

/** Which result a step had. */
export type RosterEntry = readonly [step: StepId, key: Key];

/** What is kept of a run that has ended: enough to find the results it had. */
export interface RunRecord {
  readonly run: RunId;
  readonly pipeline: string;
  /** Absolute path of the pipeline's file. */
  readonly path: string;
  /** When it ended, ms since the epoch. */
  readonly endedAt: number;
  /** False for a run of a part of the pipeline, and for one that did not come to its end. */
  readonly whole: boolean;
  /** Object with the results of its steps, see `Store.roster`. */
  readonly roster: Digest;
  /** In the order in which they were given. */
  readonly profiles: readonly string[];
}

/** A name for the results of a run, or of some of its steps with all that they were made from. */
export interface Tag {
  readonly name: string;
  /** When it was set, ms since the epoch. */
  readonly at: number;
  readonly pipeline: string;
  /** The run whose results these are; absent for results that came from somebody else. */
  readonly run?: RunId;
  readonly roster: Digest;
}

/** Why a result is kept, the strongest reason first. */
export const keepReasons = ["pipeline", "tag", "run", "young"] as const;

/**
 * `pipeline`: a pipeline's last run, with these or those profiles, had it; `tag`: a tag names it; `run`: a run of the last days had it; `young`: it
 * was made in the last days.
 */
export type KeepReason = (typeof keepReasons)[number];

/** Numbers of results by why they are kept; each counts once. */
export type KeptBy = Readonly<Record<KeepReason, number>>;

/** What keeps results for a pipeline, by its name and its profiles. */
export interface PipelineStatus {
  readonly pipeline: string;
  readonly profiles: readonly string[];
  readonly path: string;
  /** Results that its last run had. */
  readonly results: number;
  /** When that run ended, ms since the epoch. */
  readonly lastRun: number;
}

export interface StoreStatus {
  readonly root: string;
  readonly results: number;
  /** As `gc` with its default age would count them. */
  readonly keptBy: KeptBy;
  readonly pipelines: readonly PipelineStatus[];
  /** Bytes of the outputs of each node type's results, the largest first; equal bytes of one type count once. */
  readonly nodeTypes: readonly { readonly type: string; readonly results: number; readonly bytes: number }[];
  readonly tags: number;
  readonly objects: { readonly count: number; readonly bytes: number };
  readonly checkpoints: { readonly count: number; readonly bytes: number };
  readonly runs: number;
  readonly memo: number;
  readonly temporary: { readonly count: number; readonly bytes: number };
}

export interface GcReport {
  readonly removed: {
    readonly results: number;
    readonly objects: number;
    /** Bytes of everything that was removed. */
    readonly bytes: number;
    readonly runs: number;
    readonly checkpoints: number;
    readonly memo: number;
  };
  readonly kept: { readonly results: number; readonly objects: number; readonly bytes: number };
  readonly keptBy: KeptBy;
  /** True where another process uses the store: then no result goes, whatever its age. */
  readonly busy: boolean;
}

export interface GcOptions {
  /** Results, runs and checkpoints younger than this many days are kept. */
  readonly days: number;
  readonly dryRun: boolean;
  /** Names of pipelines whose last results nobody needs any more. */
  readonly forget?: readonly string[];
}

/** Tables of the index. */
export type IndexTable =
  | "results"
  | "pointers"
  | "stats"
  | "locators"
  | "sources"
  | "registered"
  | "memo"
  | "durations"
  | "runs"
  | "tags"
  | "away";

/** Something that goes when a problem is repaired. */
export type Drop =
  | { readonly what: "object"; readonly digest: Digest }
  /** Path under `checkpoints/`. */
  | { readonly what: "checkpoint"; readonly path: string }
  | { readonly what: "entry"; readonly table: IndexTable; readonly key: string };

export interface VerifyProblem {
  /**
   * `wrong-bytes`, `unreadable`: a file or an entry of the index is damaged; `missing-object`: something needs an
   * object that is not there; `wrong-record`: a result is not what its key says; the others lead nowhere.
   */
  readonly kind:
    | "wrong-bytes"
    | "unreadable"
    | "missing-object"
    | "wrong-record"
    | "dangling-pointer"
    | "dangling-tag"
    | "dangling-place"
    | "damaged-checkpoint";
  /** What it is about: a digest, the key of a result, the name of an entry. */
  readonly subject: string;
  /** Steps (`pipeline: step`) whose last result it concerns. */
  readonly neededBy: readonly string[];
  readonly message: string;
  /** What `repair` removes; nothing where a run puts right what is wrong. */
  readonly drops: readonly Drop[];
}

/** What `repair` did. */
export interface RepairReport {
  readonly dropped: { readonly results: number; readonly objects: number; readonly entries: number };
  /** Steps (`pipeline: step`) whose last result was dropped: the next run executes them again. */
  readonly steps: readonly string[];
  /** Problems that are not there any more, or that a run puts right: nothing was dropped for them. */
  readonly left: readonly VerifyProblem[];
}

/** The whole store: LMDB index and object files. One instance per driver process. */
export interface Store {
  readonly root: string;
  readonly objects: ObjectStore;
  /** False where the store lies on a read-only file system or belongs to someone else. */
  readonly writable: boolean;

  result(key: Key): StoredResult | undefined;
  /** Keys of all results. */
  keys(): readonly Key[];
  /** Compare-and-set: the first commit of a key wins, and the winner is returned. Durable when it resolves. */
  commit(result: StoredResult): Promise<StoredResult>;
  /** Replaces a result that was found nondeterministic, missing or forced. */
  replace(result: StoredResult): Promise<void>;
  drop(key: Key): Promise<void>;
  /**
   * Takes results that came from a shared folder, where this store has none of their key. `away` are those whose bytes
   * were left there.
   */
  adopt(
    results: readonly { readonly result: StoredResult; readonly away: boolean }[],
    from: string,
  ): Promise<void>;
  /** Brings bytes that are not here from wherever they can be had; a store without a shared folder has nowhere. */
  fetch(digests: readonly Digest[]): Promise<void>;

  pointer(pipeline: string, step: StepId): Pointer | undefined;
  /** Batched; call it for hits too. Writes nothing where nothing changed. */
  point(pipeline: string, entries: readonly (readonly [step: StepId, pointer: Pointer])[]): Promise<void>;

  statGet(files: readonly (readonly [path: string, stat: FileStat])[]): (Digest | undefined)[];
  /** @param at when they were looked at, before they were hashed, ms since the epoch */
  statPut(
    files: readonly (readonly [path: string, stat: FileStat, digest: Digest])[],
    at: number,
  ): Promise<void>;

  locate(digests: readonly Digest[]): (Locator | undefined)[];
  /** Registers a scanned dataset's files; a no-op where (root, list) is registered already. */
  registerExternal(dataset: string, root: string, list: Digest): Promise<void>;

  /** Entries put before `since`, in ms since the epoch, count as absent. */
  memoGet(keys: readonly string[], since?: number): (Json | undefined)[];
  memoPut(entries: readonly (readonly [key: string, value: Json])[]): Promise<void>;

  /** Milliseconds a step of this node type took lately (median of the last ones); undefined where unknown. */
  duration(nodeType: string): number | undefined;
  recordDurations(nodeType: string, milliseconds: readonly number[]): Promise<void>;

  /** `<store>/checkpoints/<key>`. */
  checkpointFolder(key: string): string;
  removeCheckpoint(key: string): Promise<void>;

  /** `<store>/runs/<id>`, created. */
  createRun(): Promise<{ readonly id: RunId; readonly folder: string }>;
  runFolder(id: RunId): string;
  /** Newest first. */
  runs(): Promise<readonly RunId[]>;

  /**
   * Exclusive right to execute a key. Resolves with a release function once this process holds it; a lease of a
   * dead process is taken over. `onWait` is called once if somebody else holds it.
   */
  lease(key: Key, signal: AbortSignal, onWait?: (holder: string) => void): Promise<() => void>;

  /** Keeps which results a run had: they are its pipeline's last ones now, and `gc` leaves them. */
  recordRun(
    record: Omit<RunRecord, "endedAt" | "roster">,
    entries: readonly RosterEntry[],
  ): Promise<RunRecord>;
  /** Undefined where the run was killed, is not over, or gc forgot it. */
  runRecord(id: RunId): RunRecord | undefined;
  /** Newest first. */
  runRecords(): readonly RunRecord[];
  /** The results of a run or a tag, in the order of its steps; undefined where the object is gone. */
  roster(digest: Digest): Promise<readonly RosterEntry[] | undefined>;

  tag(name: string): Tag | undefined;
  /** In order of their names. */
  tags(): readonly Tag[];
  /** Sets a tag, or moves it. The name is one that `isTagName` takes. */
  setTag(tag: Omit<Tag, "at" | "roster">, entries: readonly RosterEntry[]): Promise<Tag>;
  /** False where there is no such tag. Its results go with the next gc, if nothing else keeps them. */
  deleteTag(name: string): Promise<boolean>;

  status(): Promise<StoreStatus>;
  /** Removes what no pipeline's last run, no tag, and no result or run of the last `days` needs. */
  gc(options: GcOptions): Promise<GcReport>;
  verify(onProgress?: (done: number, total: number) => void): Promise<readonly VerifyProblem[]>;
  /** Drops exactly what `verify` found to be bad, if it still is. While another process uses the store, a `StoreError`. */
  repair(problems: readonly VerifyProblem[]): Promise<RepairReport>;
  close(): Promise<void>;
}
