import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../engine/model/ids.ts";
import { isDigest } from "./hash.ts";

/** An object file as the file system has it. */
export interface ObjectFile {
  readonly digest: Digest;
  readonly path: string;
  readonly size: number;
  /** When it was last put, ms since the epoch. */
  readonly putAt: number;
}

/** All object files of a store, in order of their digests. Files that vanish meanwhile are left out. */
export async function* objectFiles(root: string): AsyncGenerator<ObjectFile> {
  const folder = join(root, "objects");
  for (const prefix of await namesIn(folder)) {
    const names = await namesIn(join(folder, prefix));
    for (let start = 0; start < names.length; start += 64) {
      const found = names.slice(start, start + 64).map(async (name): Promise<ObjectFile | undefined> => {
        const digest = `sha256:${prefix}${name}`;
        const path = join(folder, prefix, name);
        const file = await stat(path).catch(() => undefined);
        return isDigest(digest) && file ? { digest, path, size: file.size, putAt: file.mtimeMs } : undefined;
      });
      for (const file of await Promise.all(found)) if (file) yield file;
    }
  }
}

/** Names in a folder, sorted; none where it is not there. */
async function namesIn(folder: string): Promise<readonly string[]> {
  const names: readonly string[] = await readdir(folder).catch(() => []);
  return names.toSorted();
}

/** Number of entries directly in a folder, and the bytes of all files below it. */
export async function measure(folder: string): Promise<{ readonly count: number; readonly bytes: number }> {
  const names = await readdir(folder).catch(() => []);
  let bytes = 0;
  for (const name of names) bytes += await bytesBelow(join(folder, name));
  return { count: names.length, bytes };
}

/** Bytes of a file, or of all files of a folder. Nothing where it is gone. */
export async function bytesBelow(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return 0;
  if (!found.isDirectory()) return found.size;
  let bytes = 0;
  for (const name of await readdir(path).catch(() => [])) bytes += await bytesBelow(join(path, name));
  return bytes;
}
