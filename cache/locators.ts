import { statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../engine/model/ids.ts";
import type { Locator } from "../engine/model/protocol.ts";
import { StoreError } from "./errors.ts";
import { isDigest, taggedHash } from "./hash.ts";
import type { Index, LocatorEntry } from "./index-db.ts";
import { fileStat, knownDigest } from "./stat-cache.ts";
import type { ObjectStore } from "./types.ts";

/** How many places of one digest are remembered: a dataset may be moved to and fro, or lie in several copies. */
const placesKept = 4;
const batch = 1_000;
const doing = "record where data lies";
const small = { count: 1, bytes: 10_000 };

/** The names and digests in an external list object; entries may carry more after the digest. */
export function parseExternalList(
  text: string,
): readonly (readonly [name: string, digest: Digest])[] | undefined {
  try {
    const list = JSON.parse(text) as unknown;
    if (!Array.isArray(list)) return undefined;
    const sound = list.every(
      (entry) => Array.isArray(entry) && typeof entry[0] === "string" && isDigest(entry[1]),
    );
    return sound ? (list as readonly (readonly [string, Digest])[]) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Where a digest's bytes lie: an object; else the newest known place in a dataset folder at which there is a file as it
 * was when these bytes were read from it; else the newest at which there is a file that may have them, whose content is
 * to be looked at; else the newest known place, so that a message can name it.
 */
export function locate(index: Index, objects: ObjectStore, digest: Digest): Locator | undefined {
  if (objects.has(digest)) return { kind: "object" };
  let likely: Locator | undefined;
  let newest: Locator | undefined;
  for (const [source, name] of index.locators.get(digest) ?? []) {
    const [dataset, root] = index.sources.get(String(source)) ?? [];
    if (dataset === undefined || root === undefined) continue;
    const locator = { kind: "external", root, name, dataset, isSeen: false } as const;
    if (newest?.kind !== "external" || newest.root === "") newest = locator;
    // A root of "" is a dataset of somebody who shared results: it never was on this machine.
    if (root === "") continue;
    const path = join(root, name);
    const status = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (!status) continue;
    const known = knownDigest(index, path, fileStat(status));
    if (known === digest) return { ...locator, isSeen: true };
    if (known === undefined) likely ??= locator;
  }
  return likely ?? newest;
}

/**
 * Remembers where the files of a scanned dataset lie. Nothing is written where this list was registered at this
 * root and its places are still remembered.
 *
 * @throws StoreError
 */
export async function registerExternal(
  index: Index,
  objects: ObjectStore,
  { dataset, root, list }: { readonly dataset: string; readonly root: string; readonly list: Digest },
): Promise<void> {
  const listId = taggedHash("ranflow/source-list/1", [dataset, root, list]);
  const [known, ...samples] = index.registered.get(listId) ?? [];
  const remembered = (digest: Digest): boolean =>
    (index.locators.get(digest) ?? []).some(([source]) => source === known);
  if (known !== undefined && samples.every(remembered)) return;

  const text = await readFile(objects.path(list), "utf8").catch(() => undefined);
  const files = text === undefined ? undefined : parseExternalList(text);
  if (files === undefined) {
    throw new StoreError("missing", `the list of files ${list} of ${dataset} is not in the store`, {
      hint: "run the pipeline again: the files are hashed anew",
    });
  }
  const source = await numberOf(index, dataset, root);
  // Entries of one digest within a batch must see each other: two names may hold the same bytes.
  for (let start = 0; start < files.length; start += batch) {
    const pending = new Map<Digest, LocatorEntry>();
    for (const [name, digest] of files.slice(start, start + batch)) {
      const before = pending.get(digest) ?? index.locators.get(digest) ?? [];
      const others = before.filter(([other, otherName]) => other !== source || otherName !== name);
      pending.set(digest, [[source, name] as const, ...others].slice(0, placesKept));
    }
    await index.write({
      doing,
      size: { count: pending.size, bytes: pending.size * 4 * 200 },
      queue: () => [...pending].map(([digest, places]) => index.locators.put(digest, places)),
    });
  }
  const ends = [files[0], files.at(-1)].flatMap((file) => (file ? [file[1]] : []));
  // Last: a crash before it repeats the work, a crash after it has nothing left to do.
  await index.write({ doing, size: small, queue: () => [index.registered.put(listId, [source, ...ends])] });
}

/** The number of a (dataset, root): from a hash, so that two processes give the same one without asking each other. */
async function numberOf(index: Index, dataset: string, root: string): Promise<number> {
  const number = Number.parseInt(taggedHash("ranflow/source/1", [dataset, root]).slice(0, 12), 16);
  if (index.sources.get(String(number)) === undefined) {
    const entry = [dataset, root] as const;
    await index.write({ doing, size: small, queue: () => [index.sources.put(String(number), entry)] });
  }
  return number;
}
