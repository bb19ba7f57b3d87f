import type { Digest, Key } from "../../engine/model/ids.ts";
import type { RosterEntry, Store } from "../types.ts";
import { createFetcher } from "./fetch.ts";
import type { Fetcher } from "./fetch.ts";
import { RemoteError } from "./folder.ts";
import type { Remote, RemoteResult } from "./folder.ts";
import { listedFiles } from "./whole.ts";

export interface PullReport {
  /** Results that this store did not have, or had without their bytes. */
  readonly results: number;
  /** Results that were here already. */
  readonly here: number;
  /** Results that the shared folder does not have, or not whole. */
  readonly missing: number;
  readonly objects: number;
  readonly bytes: number;
  /** Why results were refused. */
  readonly refused: readonly string[];
}

export interface PullOptions {
  /** Brings the external files that results read, too, as far as they were pushed. */
  readonly withData: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Brings results with their objects from a shared folder into a store. What is torn or hostile is refused and reported;
 * the rest goes on.
 *
 * @throws StoreError where the store cannot be written
 */
export async function pullResults(
  { store, remote }: { readonly store: Store; readonly remote: Remote },
  keys: readonly Key[],
  { withData, onProgress = () => {} }: PullOptions,
): Promise<PullReport> {
  const fetcher = createFetcher(store.objects, remote);
  const counts = { results: 0, here: 0, missing: 0 };
  const refused = new Set<string>();
  const unique = [...new Set(keys)];
  for (const [i, key] of unique.entries()) {
    try {
      counts[await pullOne({ store, remote, fetcher }, key, withData)]++;
    } catch (error) {
      if (!(error instanceof RemoteError) || error.code !== "damaged") throw error;
      refused.add(error.message);
    }
    onProgress(i + 1, unique.length);
  }
  return { ...counts, ...fetcher.counts, refused: [...refused] };
}

interface PullParts {
  readonly store: Store;
  readonly remote: Remote;
  readonly fetcher: Fetcher;
}

async function pullOne(
  { store, remote, fetcher }: PullParts,
  key: Key,
  withData: boolean,
): Promise<"results" | "here" | "missing"> {
  const here = store.result(key);
  const isWhole = here !== undefined && (await isComplete(store, Object.values(here.outputs)));
  if (isWhole && !withData) return "here";
  const record = remote.readResult(key);
  if (!record) return isWhole ? "here" : "missing";
  // Where both have a result, this store's outputs count: a step that is not deterministic may have made others.
  const { outputs } = here ?? record.result;
  for (const artifact of Object.values(outputs))
    if (!(await fetcher.withMentioned(artifact))) return "missing";
  await takeList({ store, fetcher }, record, withData);
  if (isWhole) return "here";
  if (!here) await store.adopt([{ result: record.result, away: false }], remote.root);
  return "results";
}

async function isComplete(
  store: Store,
  artifacts: readonly Parameters<Fetcher["artifact"]>[0][],
): Promise<boolean> {
  for (const artifact of artifacts) {
    if (!(await store.objects.complete(artifact).catch(() => false))) return false;
  }
  return true;
}

/** Takes the list of the external files that the step read, and remembers which dataset they are of. */
async function takeList(
  { store, fetcher }: Pick<PullParts, "store" | "fetcher">,
  { result, dataset }: RemoteResult,
  withData: boolean,
): Promise<void> {
  const list = result.fingerprint.external?.digest;
  if (list === undefined || !(await fetcher.object(list))) return;
  const files = await listedFiles(store.objects, list);
  if (files === undefined) return;
  if (dataset !== undefined) await store.registerExternal(dataset, "", list);
  if (withData) for (const { digest } of files) await bring(fetcher, digest);
}

async function bring(fetcher: Fetcher, digest: Digest): Promise<void> {
  await fetcher.object(digest);
}

/**
 * Points steps that have no last result in this store to the pulled ones, so that `plan`, `show` and `explain` know
 * them.
 */
export async function pointToPulled(
  store: Store,
  pipeline: string,
  entries: readonly RosterEntry[],
): Promise<void> {
  const fresh = entries.flatMap(([step, key]) => {
    const result = store.pointer(pipeline, step) ? undefined : store.result(key);
    return result ? [[step, { key, run: result.provenance.runId as never }] as const] : [];
  });
  await store.point(pipeline, fresh);
}
