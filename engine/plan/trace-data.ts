import { stat } from "node:fs/promises";
import { join } from "node:path";
import { mapLimit } from "../../cache/pool.ts";
import type { Store } from "../../cache/types.ts";
import type { ExternalList } from "../model/fingerprint.ts";
import type { Locator } from "../model/protocol.ts";
import { readExternalList } from "./external-list.ts";

/** The files outside the store that a result was made from, and whether they are still to be had. */
export interface TracedData {
  readonly list: ExternalList;
  /** Name of the dataset, and the folders in which its files are known to lie. */
  readonly dataset?: string;
  readonly roots: readonly string[];
  /** Files that are in their place with the size that they had; or in the store itself. */
  readonly there: number;
  /** Names of files that are not, or have another size. All of them. */
  readonly missing: readonly string[];
  /** True where the list of names is not in the store any more: then nothing could be looked for. */
  readonly lost: boolean;
}

const atOnce = 64;

/** Looks for the files of a list. Their bytes are not hashed. */
export async function traceData(store: Store, list: ExternalList): Promise<TracedData> {
  const files = readExternalList(store, list.digest) as
    readonly (readonly [name: string, digest: never, size?: number])[] | undefined;
  if (!files) return { list, roots: [], there: 0, missing: [], lost: true };
  const places = store.locate(files.map(([, digest]) => digest));
  const found = await mapLimit(files, atOnce, ([, , size], i) => isThere(places[i], size));
  const external = places.flatMap((place) => (place?.kind === "external" ? [place] : []));
  const dataset = external[0]?.dataset;
  return {
    list,
    ...(dataset !== undefined && { dataset }),
    roots: [...new Set(external.map(({ root }) => root))].filter(Boolean),
    there: found.filter(Boolean).length,
    missing: files.flatMap(([name], i) => (found[i] ? [] : [name])),
    lost: false,
  };
}

async function isThere(place: Locator | undefined, size: number | undefined): Promise<boolean> {
  if (place === undefined || place.kind === "object") return place !== undefined;
  if (place.root === "") return false;
  const status = await stat(join(place.root, place.name)).catch(() => undefined);
  return status !== undefined && status.isFile() && (size === undefined || status.size === size);
}
