import type { Digest } from "../../engine/model/ids.ts";
import type { StoredResult } from "../../engine/model/plan.ts";
import { filesOf, mentionedIn } from "../reach.ts";
import type { ObjectStore, Store } from "../types.ts";
import { parseExternalList } from "../locators.ts";
import { readFile } from "node:fs/promises";

/** What a result consists of beside its record. */
export interface Parts {
  /** Its outputs, files of folders, and the images that its texts mention, as far as they are objects here. */
  readonly objects: readonly Digest[];
  /** The list of the external files it read. */
  readonly list?: Digest;
}

/** The objects that make a result whole; undefined where some of them are not in the store. */
export async function partsOf(objects: ObjectStore, result: StoredResult): Promise<Parts | undefined> {
  const found = new Set<Digest>();
  for (const artifact of Object.values(result.outputs)) {
    if (!(await objects.complete(artifact).catch(() => false))) return undefined;
    for (const file of await filesOf(objects, artifact)) {
      found.add(file);
      for (const digest of await mentionedIn(objects.path(file))) if (objects.has(digest)) found.add(digest);
    }
  }
  const list = result.fingerprint.external?.digest;
  if (list === undefined || !objects.has(list)) return { objects: [...found] };
  return { objects: [...found], list };
}

/** A file of a dataset, wherever it lies. */
export interface ListedFile {
  readonly name: string;
  readonly digest: Digest;
}

/** The files of an external list; undefined where the list is gone or none. */
export async function listedFiles(
  objects: ObjectStore,
  list: Digest,
): Promise<readonly ListedFile[] | undefined> {
  const text = await readFile(objects.path(list), "utf8").catch(() => undefined);
  return (text === undefined ? undefined : parseExternalList(text))?.map(([name, digest]) => ({
    name,
    digest,
  }));
}

/** Name of the dataset that a list's files belong to; undefined where that is not known. */
export function datasetOf(store: Store, files: readonly ListedFile[]): string | undefined {
  for (const locator of store.locate(files.slice(0, 20).map(({ digest }) => digest))) {
    if (locator?.kind === "external") return locator.dataset;
  }
  return undefined;
}
