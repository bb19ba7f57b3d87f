import { join } from "node:path";
import type { Index } from "./index-db.ts";
import { protection } from "./protection.ts";
import { listRuns } from "./runs.ts";
import type { ObjectStore, StoreStatus } from "./types.ts";
import { measure, objectFiles } from "./walk.ts";

const day = 24 * 60 * 60 * 1000;

/** Age under which `gc` keeps everything, unless told otherwise. */
export const defaultDays = 30;

/**
 * Looks at all of a store: what it holds, what keeps it, what takes the space.
 *
 * @throws StoreError
 */
export async function storeStatus({
  root,
  index,
  objects,
}: {
  readonly root: string;
  readonly index: Index;
  readonly objects: ObjectStore;
}): Promise<StoreStatus> {
  let count = 0;
  let bytes = 0;
  for await (const { size } of objectFiles(root)) {
    count++;
    bytes += size;
  }
  const { keptBy, pipelines } = await protection(
    { index, objects },
    { oldest: Date.now() - defaultDays * day },
  );
  return {
    root,
    results: index.results.getKeysCount(),
    keptBy,
    pipelines,
    nodeTypes: sizesByType(index),
    tags: index.tags.getKeysCount(),
    objects: { count, bytes },
    checkpoints: await measure(join(root, "checkpoints")),
    runs: (await listRuns(root)).length,
    memo: index.memo.getKeysCount(),
    temporary: await measure(join(root, "tmp")),
  };
}

function sizesByType(index: Index): StoreStatus["nodeTypes"] {
  const types = new Map<string, { results: number; bytes: number; readonly seen: Set<string> }>();
  for (const { value } of index.results.getRange()) {
    const { type } = value.fingerprint;
    const sum = types.get(type) ?? { results: 0, bytes: 0, seen: new Set() };
    types.set(type, sum);
    sum.results++;
    for (const { digest, size } of Object.values(value.outputs)) {
      if (sum.seen.has(digest)) continue;
      sum.seen.add(digest);
      sum.bytes += size;
    }
  }
  return [...types]
    .map(([type, { results, bytes }]) => ({ type, results, bytes }))
    .toSorted((a, b) => b.bytes - a.bytes || (a.type < b.type ? -1 : 1));
}
