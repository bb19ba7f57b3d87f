import { open } from "node:fs/promises";
import type { ArtifactRef } from "../engine/model/artifact.ts";
import type { Digest } from "../engine/model/ids.ts";
import type { StoredResult } from "../engine/model/plan.ts";
import type { ObjectStore } from "./types.ts";

const mention = /sha256:[0-9a-f]{64}/g;
/** A blob as records hold it, `{"digest":"sha256:...","size":...}`: bytes that must be somewhere. */
const blob = /"digest":\s?"(sha256:[0-9a-f]{64})"/g;
const mentionLength = 71 + 12;
const pieceSize = 1 << 20;

/** Digests that a result names itself: its outputs, and the list of external files it read. */
export function namedBy(result: StoredResult): readonly Digest[] {
  const outputs = Object.values(result.outputs).map(({ digest }) => digest);
  return result.fingerprint.external ? [...outputs, result.fingerprint.external.digest] : outputs;
}

/** Files of an artifact that are in the store, with the manifest of a folder. */
export async function filesOf(objects: ObjectStore, artifact: ArtifactRef): Promise<readonly Digest[]> {
  if (artifact.kind === "file") return [artifact.digest];
  if (!objects.has(artifact.digest)) return [artifact.digest];
  const { files } = await objects.manifest(artifact.digest);
  return [artifact.digest, ...Object.values(files).map(({ digest }) => digest)];
}

/**
 * Digests mentioned in an object's text, for instance images in JSON-lines records. An object whose beginning holds
 * a zero byte is binary and mentions nothing.
 */
export async function mentionedIn(path: string): Promise<ReadonlySet<Digest>> {
  return matchesIn(path, mention);
}

/** Digests of the blobs that an object's text holds: the mentions whose bytes are surely wanted. */
export async function blobsMentionedIn(path: string): Promise<ReadonlySet<Digest>> {
  return matchesIn(path, blob);
}

async function matchesIn(path: string, pattern: RegExp): Promise<ReadonlySet<Digest>> {
  const found = new Set<Digest>();
  const file = await open(path, "r").catch(() => undefined);
  if (!file) return found;
  try {
    const buffer = Buffer.allocUnsafe(pieceSize);
    let tail = "";
    for (let first = true; ; first = false) {
      const { bytesRead } = await file.read(buffer, 0, first ? 4096 : buffer.length);
      if (bytesRead === 0) return found;
      const piece = buffer.subarray(0, bytesRead);
      if (first && piece.includes(0)) return found;
      const text = tail + piece.toString("latin1");
      for (const digest of matchesOf(text, pattern)) found.add(digest);
      tail = text.slice(-mentionLength + 1);
    }
  } finally {
    await file.close();
  }
}

/** Digests mentioned in a JSON value. */
export function mentionedInValue(value: unknown): readonly Digest[] {
  return matchesOf(JSON.stringify(value) ?? "", mention);
}

/** Digests of the blobs that a JSON value holds. */
export function blobsMentionedInValue(value: unknown): readonly Digest[] {
  return matchesOf(JSON.stringify(value) ?? "", blob);
}

function matchesOf(text: string, pattern: RegExp): readonly Digest[] {
  return Array.from(text.matchAll(pattern), ([whole, digest]) => (digest ?? whole) as Digest);
}
