import { join } from "node:path";
import type { Digest, Key } from "../../engine/model/ids.ts";
import type { StoredResult } from "../../engine/model/plan.ts";
import { errnoOf, StoreError } from "../errors.ts";
import { digestFile } from "../hash.ts";
import { mapLimit } from "../pool.ts";
import type { Store } from "../types.ts";
import type { Remote } from "./folder.ts";
import { datasetOf, listedFiles, partsOf } from "./whole.ts";

const atOnce = 8;

export interface PushReport {
  /** Results that were not in the shared folder yet. */
  readonly results: number;
  /** Results that were there already. */
  readonly there: number;
  /** Results whose bytes are not in this store (removed by gc, or never fetched): they cannot be shared. */
  readonly incomplete: number;
  readonly objects: number;
  readonly bytes: number;
  /** External files that were not as they had been read: `dataset: name`. */
  readonly changed: readonly string[];
}

/** Copies results into a shared folder, one after the other; what is there already is not copied again. */
export interface Pusher {
  /**
   * Copies a result's objects, then its record: whoever finds the record finds all of it.
   *
   * @throws StoreError
   */
  push(result: StoredResult): Promise<void>;
  report(): PushReport;
}

/** @param withData copies the external files that results read, too */
export function createPusher(
  store: Store,
  remote: Remote,
  { withData }: { readonly withData: boolean },
): Pusher {
  const seen = new Map<Digest, Promise<void>>();
  const counts = { results: 0, there: 0, incomplete: 0, objects: 0, bytes: 0 };
  const changed: string[] = [];

  const put = (digest: Digest, source: string): Promise<void> => {
    const pending = seen.get(digest) ?? copy(digest, source);
    seen.set(digest, pending);
    return pending;
  };
  const copy = async (digest: Digest, source: string): Promise<void> => {
    const written = await remote.putObject(digest, source);
    if (written === 0) return;
    counts.objects++;
    counts.bytes += written;
  };

  const pushData = async (list: Digest): Promise<void> => {
    const files = (await listedFiles(store.objects, list)) ?? [];
    await mapLimit(files, atOnce, async ({ name, digest }) => {
      if (seen.has(digest) || remote.hasObject(digest)) return;
      const [locator] = store.locate([digest]);
      const isElsewhere = locator?.kind === "external" && locator.root === "";
      if (locator === undefined || isElsewhere) return void changed.push(name);
      const path = locator.kind === "object" ? store.objects.path(digest) : join(locator.root, locator.name);
      // A dataset is not ours: its files may have changed since they were read.
      const found = await digestFile(path).catch(missing);
      if (found?.digest === digest) await put(digest, path);
      else changed.push(locator.kind === "object" ? name : `${locator.dataset}: ${locator.name}`);
    });
  };

  return {
    push: async (result) => {
      // That a share of a step's items was made says nothing where those items are not.
      if (result.fingerprint.shard) return;
      const there = remote.hasResult(result.key);
      if (there && !withData) return void counts.there++;
      const parts = await partsOf(store.objects, result);
      if (parts === undefined) return void counts.incomplete++;
      const files = parts.list === undefined ? undefined : await listedFiles(store.objects, parts.list);
      if (parts.list !== undefined && withData) await pushData(parts.list);
      if (there) return void counts.there++;
      await mapLimit(parts.objects, atOnce, (digest) => put(digest, store.objects.path(digest)));
      if (parts.list !== undefined) await put(parts.list, store.objects.path(parts.list));
      const dataset = files && datasetOf(store, files);
      const { pulledAt: _, ...provenance } = result.provenance;
      const record = { result: { ...result, provenance }, ...(dataset !== undefined && { dataset }) };
      if (await remote.putResult(record)) counts.results++;
      else counts.there++;
    },
    report: () => ({ ...counts, changed: changed.toSorted() }),
  };
}

function missing(error: unknown): undefined {
  if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
  throw new StoreError("io", `a file of a dataset cannot be read: ${(error as Error).message}`, {
    hint: "check its permissions and the disk it lies on",
    cause: error,
  });
}

/** Pushes the results of these keys. Those that are not in the store are left out. */
export async function pushResults(
  { store, remote }: { readonly store: Store; readonly remote: Remote },
  keys: readonly Key[],
  options: {
    readonly withData: boolean;
    readonly onProgress?: (done: number, total: number) => void;
  },
): Promise<PushReport> {
  const pusher = createPusher(store, remote, options);
  const unique = [...new Set(keys)];
  for (const [i, key] of unique.entries()) {
    const result = store.result(key);
    if (result) await pusher.push(result);
    options.onProgress?.(i + 1, unique.length);
  }
  return pusher.report();
}
