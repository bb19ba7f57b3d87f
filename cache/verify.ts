import type { Digest } from "../engine/model/ids.ts";
import { digestFile } from "./hash.ts";
import type { Index } from "./index-db.ts";
import { filesOf } from "./reach.ts";
import type { ObjectStore, VerifyProblem } from "./types.ts";
import { objectFiles } from "./walk.ts";
import type { ObjectFile } from "./walk.ts";
import { mapLimit } from "./pool.ts";

const atOnce = 4;

/**
 * Hashes every object again and follows every result: finds wrong bytes, missing objects, manifests that cannot be
 * read, and pointers to results that are gone. Reads all of the store.
 */
export async function verifyStore(
  { root, index, objects }: { root: string; index: Index; objects: ObjectStore },
  onProgress: (done: number, total: number) => void = () => {},
): Promise<readonly VerifyProblem[]> {
  const neededBy = await needs(index, objects);
  const problems: VerifyProblem[] = [];
  const add = (kind: VerifyProblem["kind"], digest: Digest, message: string): void => {
    problems.push({ kind, digest, neededBy: neededBy.get(digest) ?? [], message });
  };

  const files: ObjectFile[] = [];
  for await (const file of objectFiles(root)) files.push(file);
  const present = new Set(files.map(({ digest }) => digest));
  let done = 0;
  await mapLimit(files, atOnce, async ({ digest, path }) => {
    try {
      const found = await digestFile(path);
      if (found.digest !== digest) add("wrong-bytes", digest, `${path} holds other bytes: ${found.digest}`);
    } catch (error) {
      add("unreadable", digest, `${path} cannot be read: ${(error as Error).message}`);
    }
    onProgress(++done, files.length);
  });

  for (const [digest, steps] of neededBy) {
    if (present.has(digest)) continue;
    add("missing-object", digest, `${objects.path(digest)} is not there; ${needers(steps)} made or read it`);
  }
  for (const { value } of index.pointers.getRange()) {
    const [key, run, pipeline, step] = value;
    if (index.results.get(key) !== undefined) continue;
    problems.push({
      kind: "dangling-result",
      digest: `sha256:${key}` as Digest,
      neededBy: [`${pipeline}: ${step}`],
      message: `the result ${key.slice(0, 12)} of ${step} (run ${run}) is not in the index: it will be made again`,
    });
  }
  return problems;
}

/** For each object that results need, the steps whose last result needs it. */
async function needs(index: Index, objects: ObjectStore): Promise<Map<Digest, string[]>> {
  const stepsOf = new Map<string, string[]>();
  for (const { value } of index.pointers.getRange()) {
    const [key, , pipeline, step] = value;
    const steps = stepsOf.get(key);
    if (steps) steps.push(`${pipeline}: ${step}`);
    else stepsOf.set(key, [`${pipeline}: ${step}`]);
  }
  const needed = new Map<Digest, string[]>();
  for (const { key, value } of index.results.getRange()) {
    const steps = stepsOf.get(key) ?? [];
    for (const artifact of Object.values(value.outputs)) {
      // A damaged manifest is found as wrong bytes; here it only cannot tell what it names.
      const files = await filesOf(objects, artifact).catch(() => [artifact.digest]);
      for (const digest of files) needed.set(digest, [...new Set([...(needed.get(digest) ?? []), ...steps])]);
    }
    if (value.fingerprint.external) {
      const digest = value.fingerprint.external.digest;
      needed.set(digest, [...new Set([...(needed.get(digest) ?? []), ...steps])]);
    }
  }
  return needed;
}

function needers(steps: readonly string[]): string {
  if (steps.length === 0) return "a result that no pipeline points to";
  return steps.length === 1 ? (steps[0] as string) : `${steps[0]} and ${steps.length - 1} more`;
}
