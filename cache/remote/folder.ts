import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, readFileSync, readdirSync } from "node:fs";
import {
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  open,
  readFile,
  readdir,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import type { Digest, Key } from "../../engine/model/ids.ts";
import type { StoredResult } from "../../engine/model/plan.ts";
import { StoreError, errnoOf } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";
import { isKey } from "../key.ts";
import { recordProblem } from "../record.ts";
import { ranflowVersion } from "../version.ts";

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

/** A problem of the shared folder, not of the store. */
export class RemoteError extends StoreError {}

function problem(code: StoreErrorCode, message: string, hint: string, cause?: unknown): RemoteError {
  return new RemoteError(code, message, { hint, cause });
}

/** A file that is not what it should be: torn, changed, or made to deceive. */
export function notTaken(path: string, why: string): RemoteError {
  const hint = "remove the file; whoever has the result can push it again";
  return problem("damaged", `${path} is not taken: it ${why}`, hint);
}

const format = 1;
/** A record holds a fingerprint and digests; a list of references a line for each of up to a million steps. */
const recordLimit = 16 * 2 ** 20;
const textLimit = 256 * 2 ** 20;
const day = 24 * 60 * 60 * 1000;
const groupWrite = 0o020;

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
    await mkdir(root, { recursive: true });
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
      "damaged",
      `${root} is not a folder that results were pushed to`,
      "name another folder; a store (.ranflow) is private to one machine and is not pushed to",
    );
  }
  if (version > format) {
    const hint = "update ranflow, or share through another folder";
    throw problem("damaged", `the shared folder ${root} was made by a newer ranflow`, hint);
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
    throw problem("missing", `there is no shared folder ${root}`, hint);
  }
  // Another push may be making it just now.
  if (names.every((name) => name === "tmp" || name === "format.json")) return;
  const hint = "name an empty folder, or one that `ranflow cache push` made";
  throw problem("damaged", `${root} is not a folder that results were pushed to`, hint);
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
        await writeFile(root, join(root, name), text);
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

function tooLarge(path: string, size: number): RemoteError {
  return notTaken(path, `has ${size} bytes, too many for what it should be`);
}

/** Turns a file system error into one that names the shared folder and says what to do. */
export function remoteError(cause: unknown, doing: string, root: string): StoreError {
  if (cause instanceof StoreError) return cause;
  const message = `cannot ${doing} the shared folder ${root}`;
  switch (errnoOf(cause)) {
    case "ENOSPC":
    case "EDQUOT":
      return problem("no-space", `${message}: no space left`, "free space there", cause);
    case "EROFS":
    case "EACCES":
    case "EPERM": {
      const hint = "ask its owner to let your group write (`chmod -R g+w`, and `chmod g+s` on the folders)";
      return problem("denied", `${message}: permission denied`, hint, cause);
    }
    default: {
      const said = cause instanceof Error ? cause.message : String(cause);
      return problem("io", `${message}: ${said}`, "is the disk or network file system there?", cause);
    }
  }
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

/** Makes a folder as its shared folder is: where the group may write, it may write here too, whoever made it. */
async function makeFolder(root: string, folder: string): Promise<void> {
  const made = await mkdir(folder, { recursive: true });
  if (made === undefined) return;
  const { mode } = await stat(root);
  if ((mode & groupWrite) === 0) return;
  for (let path = folder; path.length >= made.length; path = dirname(path)) await chmod(path, mode & 0o7777);
}

async function unfinished(root: string): Promise<string> {
  const folder = join(root, "tmp");
  await makeFolder(root, folder);
  return join(folder, `${hostname().slice(0, 40)}-${process.pid}-${randomBytes(8).toString("hex")}`);
}

async function copyOnce(root: string, target: string, source: string): Promise<number> {
  const temporary = await unfinished(root);
  try {
    await copyFile(source, temporary);
    await flush(temporary);
    const { size } = await stat(temporary);
    await chmod(temporary, 0o444 & ~process.umask());
    await makeFolder(root, dirname(target));
    await rename(temporary, target);
    return size;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeFile(root: string, target: string, text: string): Promise<void> {
  const temporary = await writeTemporary(root, text);
  try {
    await makeFolder(root, dirname(target));
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** False where the file was there, which stays: a link, unlike a rename, replaces nothing. */
async function writeOnce(root: string, target: string, text: string): Promise<boolean> {
  const temporary = await writeTemporary(root, text);
  try {
    await makeFolder(root, dirname(target));
    await link(temporary, target);
    return true;
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EEXIST") return false;
    // Some file systems have no links: there the last of two that push one result at once stays, which is as good.
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP" && code !== "ENOSYS") throw error;
    await rename(temporary, target);
    return true;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeTemporary(root: string, text: string): Promise<string> {
  const temporary = await unfinished(root);
  const file = await open(temporary, "wx", 0o666);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}

async function flush(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Removes what somebody's push left unfinished more than a day ago; what is another's to remove stays. */
export async function removeUnfinished(root: string, now: number = Date.now()): Promise<void> {
  const folder = join(root, "tmp");
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    if (found && now - found.mtimeMs > day) await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}
