import type { Digest, Key } from "../../engine/model/ids.ts";
import { mapLimit } from "../pool.ts";
import type { RosterEntry, Store } from "../types.ts";
import { createFetcher } from "./fetch.ts";
import type { Fetcher } from "./fetch.ts";
import { RemoteError } from "./errors.ts";
import type { Remote } from "./folder.ts";
import { listedFiles } from "./whole.ts";

const atOnce = 8;

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
  const taking = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof RemoteError) || error.code !== "damaged") throw error;
      refused.add(error.message);
    }
  };
  // All lists first: they tell which of the images that a text mentions are a dataset's.
  for (const key of unique) await taking(() => takeList({ store, remote, fetcher }, key, withData));
  for (const [i, key] of unique.entries()) {
    await taking(async () => void counts[await pullOne({ store, remote, fetcher }, key)]++);
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
): Promise<"results" | "here" | "missing"> {
  const here = store.result(key);
  if (here && (await isComplete(store, Object.values(here.outputs)))) return "here";
  const record = remote.readResult(key);
  if (!record) return "missing";
  // Where both have a result, this store's outputs count: a step that is not deterministic may have made others.
  const { outputs } = here ?? record.result;
  const isNoData = (image: Digest): boolean => store.locate([image])[0] === undefined;
  for (const artifact of Object.values(outputs)) {
    if (!(await fetcher.withMentioned(artifact, isNoData))) return "missing";
  }
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

/** Takes the list of the external files that a step read, and remembers which dataset they are of. */
async function takeList({ store, remote, fetcher }: PullParts, key: Key, withData: boolean): Promise<void> {
  const list = (store.result(key) ?? remote.readResult(key)?.result)?.fingerprint.external?.digest;
  if (list === undefined || !(await fetcher.object(list))) return;
  const files = await listedFiles(store.objects, list);
  if (files === undefined) return;
  const dataset = remote.readResult(key)?.dataset;
  if (dataset !== undefined) await store.registerExternal(dataset, "", list);
  if (!withData) return;
  const digests = files.map(({ digest }) => digest).filter((digest) => !store.objects.has(digest));
  await mapLimit(digests, atOnce, (digest) => fetcher.object(digest));
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
