import {
  chmodSync,
  closeSync,
  existsSync,
  fsync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  utimesSync,
} from "node:fs";
import type { Stats } from "node:fs";
import { copyFile, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { ArtifactRef, BlobRef, FolderManifest } from "../engine/model/artifact.ts";
import type { Digest } from "../engine/model/ids.ts";
import { canonicalJson } from "./canonical.ts";
import { errnoOf, StoreError, storeError } from "./errors.ts";
import { digestBytes, digestFile, isDigest } from "./hash.ts";
import { makeFolder } from "./make-folder.ts";
import { filesUnder, leadsToFile, refuse } from "./outputs.ts";
import { mapLimit } from "./pool.ts";
import { isSafePath } from "./record.ts";
import { temporaryPath } from "./temporary.ts";
import type { ObjectStore } from "./types.ts";

const concurrency = 16;
/** Bytes of a file that are read in one call. */
const smallFile = 64 * 1024;
const sync = promisify(fsync);

/**
 * Opens the object files of a store. Creates nothing until the first put, and needs no index: safe from any
 * number of processes at once.
 *
 * An object appears under its digest by one rename, after its bytes are on the disk, so that a crash leaves either
 * the whole object or a leftover under `tmp/`. That name is on the disk, too, before a result is committed, which never
 * outlives its objects. Every put of bytes that are there already renews the object's
 * modification time: gc leaves alone what a living process may have just put.
 *
 * Calls that only touch names and small files are made in this very thread: handing each to another one takes several
 * times as long as the call. Hashing and flushing may take as long as they want.
 *
 * @throws StoreError from every put (no space, read-only, permission, unusable outputs)
 */
export function openObjects(root: string): ObjectStore {
  const path = (digest: Digest): string => {
    if (!isDigest(digest)) throw new Error(`internal error: ${JSON.stringify(digest)} is no digest`);
    return join(root, "objects", digest.slice(7, 9), digest.slice(9));
  };
  const has = (digest: Digest): boolean => isDigest(digest) && existsSync(path(digest));

  const putBytes = async (bytes: Uint8Array): Promise<BlobRef> => {
    const blob = { digest: digestBytes(bytes), size: bytes.length };
    await guarded(root, "write an object", async () => {
      if (!renew(path(blob.digest))) {
        const temporary = temporaryPath(root);
        try {
          await writeFlushed(temporary, bytes);
          await publish(temporary, path(blob.digest));
        } catch (error) {
          await rm(temporary, { force: true });
          throw error;
        }
      }
    });
    await flushNames([blob.digest]);
    return blob;
  };

  const putFile = async (file: string): Promise<BlobRef> => {
    const blob = await takeFile(file);
    await flushNames([blob.digest]);
    return blob;
  };

  /**
   * Flushes the folders that hold the names. The index's own flush does not: it writes where its file has room already,
   * and a file system's journal has nothing to do with that.
   */
  const flushNames = (digests: readonly Digest[]): Promise<void> =>
    guarded(root, "write an object", async () => {
      for (const folder of new Set(digests.map((digest) => dirname(path(digest))))) await flush(folder);
    });

  /** Makes a file an object, whose name is not on the disk yet. */
  const takeFile = (file: string): Promise<BlobRef> =>
    guarded(root, "move a file", async () => {
      const found = lstatOutput(file);
      // A link's target, and a file that has other names, belong to somebody else: their bytes are copied.
      const copy = found.isSymbolicLink() || found.nlink > 1;
      const isFile = found.isSymbolicLink() ? await leadsToFile(file) : found.isFile();
      if (!isFile) refuse(file, "is not a regular file");
      const source = copy ? await copyIn(root, file) : file;
      const blob = found.size <= smallFile && !copy ? digestSmall(source) : await digestFile(source);
      const target = path(blob.digest);
      if (renew(target)) {
        unlinkSync(source);
      } else {
        await flush(source);
        await publish(source, target, root);
      }
      if (copy) unlinkSync(file);
      return blob;
    });

  const putFolder = async (folder: string): Promise<ArtifactRef> => {
    const names = await guarded(root, "read an output folder", () => filesUnder(folder));
    const blobs = await mapLimit(names, concurrency, (name) => takeFile(join(folder, name)));
    await flushNames(blobs.map(({ digest }) => digest));
    const files: Record<string, BlobRef> = Object.create(null) as Record<string, BlobRef>;
    for (const [i, name] of names.entries()) files[name] = blobs[i] as BlobRef;
    const { digest } = await putBytes(Buffer.from(canonicalJson({ files } as never)));
    await rm(folder, { recursive: true, force: true });
    return { digest, kind: "folder", size: blobs.reduce((sum, { size }) => sum + size, 0) };
  };

  const manifest = async (digest: Digest): Promise<FolderManifest> => {
    const text = await readFile(path(digest), "utf8").catch((cause: unknown) => {
      if (errnoOf(cause) !== "ENOENT") throw storeError(cause, `read the manifest ${digest}`, root);
      throw new StoreError("missing", `the folder artifact ${digest} is not in the store ${root}`, {
        hint: "run the pipeline again: it rebuilds what is missing",
        cause,
      });
    });
    return parseManifest(text, digest);
  };

  return {
    root,
    path,
    has,
    putBytes,
    putFile,
    putArtifact: async (output, kind) => {
      if (kind === "folder") {
        const found = await guarded(root, "read an output folder", async () => lstatOutput(output));
        if (!found.isDirectory()) refuse(output, "is not a folder");
        return putFolder(output);
      }
      return { ...(await takeFile(output)), kind };
    },
    flushNames,
    manifest,
    complete: async ({ digest, kind }) => {
      if (!has(digest)) return false;
      if (kind === "file") return true;
      const { files } = await manifest(digest);
      return Object.values(files).every((file) => has(file.digest));
    },
  };
}

/** Reads a manifest's text; a `StoreError` where it is damaged. */
export function parseManifest(text: string, digest: Digest): FolderManifest {
  try {
    const value = JSON.parse(text) as FolderManifest | null;
    const files = Object.entries(value?.files ?? { "": { digest: "", size: 0 } });
    // The names become paths in folders of workers, reports and `show --to`: none is a folder of another.
    const names = new Set(files.map(([name]) => name));
    const isPlace = (name: string): boolean =>
      isSafePath(name) && !foldersOf(name).some((up) => names.has(up));
    if (files.every(([name, blob]) => isPlace(name) && isDigest(blob?.digest)))
      return value as FolderManifest;
  } catch {
    // Answered below, like any other text that is no manifest.
  }
  throw new StoreError("damaged", `the manifest of the folder artifact ${digest} is damaged`, {
    hint: "run `ranflow cache verify`",
  });
}

/** `a` and `a/b` of `a/b/c`. */
function foldersOf(name: string): readonly string[] {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
}

function digestSmall(path: string): BlobRef {
  const bytes = readFileSync(path);
  return { digest: digestBytes(bytes), size: bytes.length };
}

function lstatOutput(path: string): Stats {
  try {
    return lstatSync(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    return refuse(path, "is not there");
  }
}

/** True where the object is there: its modification time is renewed, which tells gc that it is wanted. */
function renew(object: string): boolean {
  const now = new Date();
  try {
    utimesSync(object, now, now);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    // An object of another user cannot be touched, but it is there.
    if (existsSync(object)) return true;
    throw error;
  }
}

async function writeFlushed(path: string, bytes: Uint8Array): Promise<void> {
  const file = await openCreating(path);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function openCreating(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  try {
    return await open(path, "wx", 0o644);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    await makeFolder(dirname(path));
    return open(path, "wx", 0o644);
  }
}

async function flush(path: string): Promise<void> {
  const file = openSync(path, "r");
  try {
    await sync(file);
  } finally {
    closeSync(file);
  }
}

async function copyIn(root: string, file: string): Promise<string> {
  const temporary = temporaryPath(root);
  await makeFolder(dirname(temporary));
  try {
    await copyFile(file, temporary);
  } catch (error) {
    await rm(temporary, { force: true });
    if (errnoOf(error) === "ENOENT") refuse(file, "is a link that leads nowhere");
    throw error;
  }
  return temporary;
}

/** Renames a flushed file to its object. */
async function publish(source: string, object: string, root?: string): Promise<void> {
  const now = new Date();
  utimesSync(source, now, now);
  chmodSync(source, 0o444);
  try {
    renameSync(source, object);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT") {
      await makeFolder(dirname(object));
      await flush(dirname(dirname(object)));
      renameSync(source, object);
    } else if (code === "EXDEV" && root !== undefined) {
      const temporary = await copyIn(root, source);
      await flush(temporary);
      await publish(temporary, object);
      unlinkSync(source);
    } else {
      throw error;
    }
  }
}

async function guarded<T>(root: string, doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(error, doing, root);
  }
}
