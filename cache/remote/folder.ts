import { existsSync, lstatSync, readFileSync, readdirSync } from "node:fs";
import { lstat, readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Digest, Key } from "../../engine/model/ids.ts";
import type { StoredResult } from "../../engine/model/plan.ts";
import { errnoOf } from "../errors.ts";
import { isKey } from "../key.ts";
import { makeFolder } from "../make-folder.ts";
import { recordProblem } from "../record.ts";
import { ranflowVersion } from "../version.ts";
import { notTaken, problem, remoteError, tooLarge } from "./errors.ts";
import { copyOnce, writeOnce, writeOver } from "./files.ts";

/**
 * A plain folder through which people share results: on a network file system, a disk, or carried about by rsync. No
 * database, for several machines write at once: each file appears under its name by one rename, whole, and is never
 * changed.
 *
 *   <folder>/
 *     format.json              { "format": 1, "kind": "remote", ... }
 *     objects/ab/cdef...       bytes by SHA-256
 *     results/ab/cdef....json  records of results by key
 *     refs/<kind>/<name>       which results a pipeline, a run or a tag had
 *     tmp/                     everything unfinished
 *
 * What lies in it is material from others: nothing enters a store that was not checked.
 */
export interface Remote {
  readonly root: string;
  /** True where there is a result of this key. Folders are listed once, so that thousands of misses cost 256 looks. */
  hasResult(key: Key): boolean;
  /** Undefined where there is none. A `StoreError` where what lies there is no record of this key's result. */
  readResult(key: Key): RemoteResult | undefined;
  /** Keys of all results. */
  keys(): readonly Key[];
  hasObject(digest: Digest): boolean;
  objectPath(digest: Digest): string;
  /** Bytes written; 0 where the object was there. */
  putObject(digest: Digest, source: string): Promise<number>;
  /** False where a result of the key was there, which stays. */
  putResult(record: RemoteResult): Promise<boolean>;
  putText(name: string, text: string): Promise<void>;
  /** Undefined where there is none. */
  readText(name: string): Promise<string | undefined>;
  names(folder: string): Promise<readonly string[]>;
}

/** A result as it lies in a shared folder. */
export interface RemoteResult {
  readonly result: StoredResult;
  /** Name of the dataset whose files the step read. */
  readonly dataset?: string;
}

const format = 1;
/** A record holds a fingerprint and digests; a list of references a line for each of up to a million steps. */
const recordLimit = 16 * 2 ** 20;
const textLimit = 256 * 2 ** 20;

/**
 * Opens a shared folder. Does not wait for anything but the disk: it is opened when a result is first missed.
 *
 * @throws StoreError where it is none, or not readable
 */
export function openRemote(root: string): Remote {
  let text: string | undefined;
  try {
    text = readFileSync(join(root, "format.json"), "utf8");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR") throw remoteError(error, "read", root);
  }
  if (text === undefined) checkEmptyRemote(root);
  else checkRemote(text, root);
  return remoteOver(root);
}

/**
 * Opens a shared folder, making one where there is none, or in an empty folder.
 *
 * @throws StoreError where it is none, or cannot be made
 */
export async function makeRemote(root: string): Promise<Remote> {
  try {
    await makeFolder(root);
    if (!existsSync(join(root, "format.json"))) {
      checkEmptyRemote(root);
      const text = `${JSON.stringify({ format, kind: "remote", ranflow: ranflowVersion() })}\n`;
      await writeOnce(root, join(root, "format.json"), text);
    }
  } catch (error) {
    throw remoteError(error, "make", root);
  }
  return openRemote(root);
}

function checkRemote(text: string, root: string): void {
  let kind: unknown;
  let version: unknown;
  try {
    ({ kind, format: version } = JSON.parse(text) as { kind?: unknown; format?: unknown });
  } catch {
    // Said below, as of any other file that is none of ours.
  }
  if (kind !== "remote" || typeof version !== "number") {
    throw problem(
      "wrong-folder",
      `${root} is not a folder that results were pushed to`,
      "name another folder; a store (.ranflow) is private to one machine and is not pushed to",
    );
  }
  if (version > format) {
    const hint = "update ranflow, or share through another folder";
    throw problem("wrong-folder", `the shared folder ${root} was made by a newer ranflow`, hint);
  }
}

/** A folder that is there and empty has no results yet; anything else was not meant. */
function checkEmptyRemote(root: string): void {
  let names: readonly string[];
  try {
    names = readdirSync(root);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw remoteError(error, "read", root);
    const hint = `\`ranflow cache push ${root}\` makes one; is the disk mounted?`;
    throw problem("wrong-folder", `there is no shared folder ${root}`, hint);
  }
  // Another push may be making it just now.
  if (names.every((name) => name === "tmp" || name === "format.json")) return;
  const hint = "name an empty folder, or one that `ranflow cache push` made";
  throw problem("wrong-folder", `${root} is not a folder that results were pushed to`, hint);
}

function remoteOver(root: string): Remote {
  const listed = new Map<string, ReadonlySet<string>>();
  const resultsIn = (prefix: string): ReadonlySet<string> => {
    let names = listed.get(prefix);
    if (names === undefined) {
      names = new Set(namesSync(join(root, "results", prefix)));
      listed.set(prefix, names);
    }
    return names;
  };
  const resultPath = (key: Key): string => join(root, "results", key.slice(0, 2), `${key.slice(2)}.json`);
  const objectPath = (digest: Digest): string => join(root, "objects", digest.slice(7, 9), digest.slice(9));
  const hasResult = (key: Key): boolean => resultsIn(key.slice(0, 2)).has(`${key.slice(2)}.json`);

  return {
    root,
    hasResult,
    readResult: (key) => (hasResult(key) ? readRecord(resultPath(key), key, root) : undefined),
    keys: () =>
      namesSync(join(root, "results"))
        .filter((prefix) => /^[0-9a-f]{2}$/.test(prefix))
        .flatMap((prefix) => [...resultsIn(prefix)].map((name) => `${prefix}${name.replace(/\.json$/, "")}`))
        .filter((key): key is Key => isKey(key)),
    hasObject: (digest) => isRegularFile(objectPath(digest)),
    objectPath,
    putObject: async (digest, source) => {
      const target = objectPath(digest);
      if (isRegularFile(target)) return 0;
      try {
        return await copyOnce(root, target, source);
      } catch (error) {
        throw remoteError(error, "write to", root);
      }
    },
    putResult: async (record) => {
      const path = resultPath(record.result.key);
      if (isRegularFile(path)) return false;
      try {
        return await writeOnce(root, path, JSON.stringify(record));
      } catch (error) {
        throw remoteError(error, "write to", root);
      }
    },
    putText: async (name, text) => {
      try {
        await writeOver(root, join(root, name), text);
      } catch (error) {
        throw remoteError(error, "write to", root);
      }
    },
    readText: async (name) => {
      const path = join(root, name);
      const found = await lstat(path).catch(() => undefined);
      if (!found?.isFile()) return undefined;
      if (found.size > textLimit) throw tooLarge(path, found.size);
      return readFile(path, "utf8").catch((error: unknown) => {
        throw remoteError(error, "read", root);
      });
    },
    names: async (folder) => {
      const names: readonly string[] = await readdir(join(root, folder)).catch(() => []);
      return names.toSorted();
    },
  };
}

function readRecord(path: string, key: Key, root: string): RemoteResult | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  // Listed before, and cleaned away since.
  if (found === undefined) return undefined;
  if (found.size > recordLimit) throw tooLarge(path, found.size);
  let record: unknown;
  try {
    record = found.isFile() ? JSON.parse(readFileSync(path, "utf8")) : undefined;
  } catch (error) {
    if (errnoOf(error) !== undefined) throw remoteError(error, "read", root);
  }
  const { result, dataset } = (record ?? {}) as { readonly result?: unknown; readonly dataset?: unknown };
  const wrong = recordProblem(key, result);
  if (wrong !== undefined) throw notTaken(path, wrong);
  return { result: result as StoredResult, ...(typeof dataset === "string" && { dataset }) };
}

function namesSync(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw remoteError(error, "read", folder);
  }
}

function isRegularFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
