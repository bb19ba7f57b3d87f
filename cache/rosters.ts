import { createHash } from "node:crypto";
import { readFile, utimes } from "node:fs/promises";
import type { Digest, StepId } from "../engine/model/ids.ts";
import { isKey } from "./key.ts";
import type { ObjectStore, RosterEntry } from "./types.ts";

/** Steps per piece of text: a roster of 100,000 steps is never one string while it only has to be hashed. */
const piece = 2_000;

/**
 * Keeps which result each step had, as an object of lines `<key> <step id>`. Runs that had the same results share one
 * roster, so that a run in which nothing changed writes none.
 *
 * @throws StoreError
 */
export async function putRoster(objects: ObjectStore, entries: readonly RosterEntry[]): Promise<Digest> {
  const sha = createHash("sha256");
  for (const text of pieces(entries)) sha.update(text);
  const digest = `sha256:${sha.digest("hex")}` as Digest;
  const now = new Date();
  // As every put does: the new time tells gc that the object is wanted.
  const there = await utimes(objects.path(digest), now, now).then(
    () => true,
    () => false,
  );
  if (!there) await objects.putBytes(Buffer.concat(Array.from(pieces(entries), (text) => Buffer.from(text))));
  return digest;
}

/** The entries of a roster; undefined where it is gone or damaged. */
export async function readRoster(
  objects: ObjectStore,
  digest: Digest,
): Promise<readonly RosterEntry[] | undefined> {
  const text = await readFile(objects.path(digest), "utf8").catch(() => undefined);
  return text === undefined ? undefined : parseRoster(text);
}

/** Reads a roster's text; undefined where a line of it is none. */
export function parseRoster(text: string): readonly RosterEntry[] | undefined {
  const entries: RosterEntry[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const key = line.slice(0, 64);
    if (!isKey(key) || line[64] !== " " || line.length < 66) return undefined;
    entries.push([line.slice(65) as StepId, key]);
  }
  return entries;
}

function* pieces(entries: readonly RosterEntry[]): Generator<string> {
  for (let start = 0; start < entries.length; start += piece) {
    let text = "";
    for (const [step, key] of entries.slice(start, start + piece)) text += `${key} ${step}\n`;
    yield text;
  }
}
