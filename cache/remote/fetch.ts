import { createHash } from "node:crypto";
import { lstat, mkdir, open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import type { ArtifactRef } from "../../engine/model/artifact.ts";
import type { Digest } from "../../engine/model/ids.ts";
import { errnoOf, storeError } from "../errors.ts";
import { mapLimit } from "../pool.ts";
import { blobsMentionedIn } from "../reach.ts";
import { temporaryPath } from "../temporary.ts";
import type { ObjectStore } from "../types.ts";
import { notTaken, remoteError } from "./errors.ts";
import type { Remote } from "./folder.ts";

const atOnce = 8;
const pieceSize = 1 << 20;
/** Metrics and the like, in bytes. */
const smallFile = 64 * 1024;

/** Brings objects from a shared folder into a store. Every byte is hashed before it counts. */
export interface Fetcher {
  /**
   * True where the object is in the store then; false where the shared folder has none.
   *
   * @throws StoreError where it has other bytes than it should
   */
  object(digest: Digest): Promise<boolean>;
  /** As `object`, for an artifact with the files of a folder. */
  artifact(artifact: ArtifactRef): Promise<boolean>;
  /** As `artifact`, with the images that its texts mention, as far as the shared folder has them and they are wanted. */
  withMentioned(artifact: ArtifactRef, isWanted: (image: Digest) => boolean): Promise<boolean>;
  /** True where the artifact is a small file that mentions no image: it came, and is of use by itself. */
  smallFile(artifact: ArtifactRef): Promise<boolean>;
  readonly counts: { readonly objects: number; readonly bytes: number };
}

export function createFetcher(objects: ObjectStore, remote: Remote): Fetcher {
  const pending = new Map<Digest, Promise<boolean>>();
  const counts = { objects: 0, bytes: 0 };

  const object = (digest: Digest): Promise<boolean> => {
    if (objects.has(digest)) return Promise.resolve(true);
    const fetching = pending.get(digest) ?? fetchObject(digest).finally(() => pending.delete(digest));
    pending.set(digest, fetching);
    return fetching;
  };

  const fetchObject = async (digest: Digest): Promise<boolean> => {
    const temporary = temporaryPath(objects.root);
    try {
      await mkdir(dirname(temporary), { recursive: true });
      const target = await open(temporary, "wx", 0o644);
      const size = await copyChecked(remote, digest, target).finally(() => target.close());
      if (size === undefined) return false;
      await objects.putFile(temporary);
      counts.objects++;
      counts.bytes += size;
      return true;
    } catch (error) {
      throw storeError(error, "take a shared object", objects.root);
    } finally {
      await rm(temporary, { force: true });
    }
  };

  const filesOf = async ({ digest, kind }: ArtifactRef): Promise<readonly Digest[] | undefined> => {
    if (!(await object(digest))) return undefined;
    if (kind === "file") return [digest];
    const { files } = await objects.manifest(digest).catch(() => {
      throw notTaken(remote.objectPath(digest), "is not the manifest of a folder, as its result says");
    });
    const digests = Object.values(files).map((file) => file.digest);
    const there = await mapLimit([...new Set(digests)], atOnce, object);
    return there.every(Boolean) ? digests : undefined;
  };

  return {
    object,
    artifact: async (artifact) => (await filesOf(artifact)) !== undefined,
    withMentioned: async (artifact, isWanted) => {
      const files = await filesOf(artifact);
      if (files === undefined) return false;
      for (const file of new Set(files)) {
        const mentioned = await blobsMentionedIn(objects.path(file));
        await mapLimit([...mentioned].filter(isWanted), atOnce, object);
      }
      return true;
    },
    smallFile: async ({ digest, kind, size }) => {
      if (kind !== "file" || size > smallFile || objects.has(digest) || !remote.hasObject(digest))
        return false;
      const mentioned = await blobsMentionedIn(remote.objectPath(digest));
      return mentioned.size === 0 && object(digest);
    },
    counts,
  };
}

/**
 * Copies an object, hashing what is written; its size, or undefined where there is none. Only a regular file is read,
 * and no more of it than it had when it was looked at.
 */
async function copyChecked(remote: Remote, digest: Digest, target: FileHandle): Promise<number | undefined> {
  const path = remote.objectPath(digest);
  const read = async <T>(reading: Promise<T>): Promise<T> =>
    reading.catch((error: unknown) => {
      throw remoteError(error, "read", remote.root);
    });
  const found = await read(lstat(path).catch(unlessAbsent));
  if (found === undefined) return undefined;
  if (!found.isFile()) throw notTaken(path, "is not a regular file");
  const source = await read(open(path, "r"));
  try {
    const sha = createHash("sha256");
    const buffer = Buffer.allocUnsafe(Math.min(pieceSize, found.size + 1));
    let size = 0;
    for (;;) {
      const { bytesRead } = await read(source.read(buffer, 0, buffer.length));
      if (bytesRead === 0) break;
      size += bytesRead;
      if (size > found.size) throw notTaken(path, "grows while it is read");
      const piece = buffer.subarray(0, bytesRead);
      sha.update(piece);
      await target.writeFile(piece);
    }
    const actual = `sha256:${sha.digest("hex")}`;
    if (actual !== digest) throw notTaken(path, `holds other bytes (${actual})`);
    return size;
  } finally {
    await source.close();
  }
}

function unlessAbsent(error: unknown): undefined {
  if (errnoOf(error) !== "ENOENT") throw error;
}
