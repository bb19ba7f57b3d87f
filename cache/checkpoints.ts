import { existsSync } from "node:fs";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson } from "./canonical.ts";
import { digestFile } from "./hash.ts";

/** Holds the digests of a checkpoint's other files: a bit that flips in a model's state would go unnoticed for ever. */
const sealName = ".digests.json";

/** Writes down the digest of every file of a checkpoint that is complete. File system errors are passed on. */
export async function sealCheckpoint(folder: string): Promise<void> {
  await writeFile(join(folder, sealName), canonicalJson(await digestsUnder(folder)));
}

/** What is wrong with a checkpoint; undefined where it is as it was written. One that was never sealed is not judged. */
export async function checkpointProblem(folder: string): Promise<string | undefined> {
  const seal = await readFile(join(folder, sealName), "utf8").catch(() => undefined);
  if (seal === undefined) return undefined;
  let problem: string;
  try {
    const found = canonicalJson(await digestsUnder(folder));
    if (found === seal) return undefined;
    problem = `${folder} does not hold what was written`;
  } catch (error) {
    problem = `${folder} cannot be read: ${(error as Error).message}`;
  }
  // One that its step has just replaced by a newer one is gone, not damaged.
  return existsSync(join(folder, sealName)) ? problem : undefined;
}

/** A checkpoint as it lies in a store: `<key>/<variant>/<number>`. */
export async function checkpointsIn(root: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const key of await namesIn(join(root, "checkpoints"))) {
    for (const variant of await namesIn(join(root, "checkpoints", key))) {
      for (const number of await namesIn(join(root, "checkpoints", key, variant))) {
        if (/^\d{8}$/.test(number)) found.push(join(key, variant, number));
      }
    }
  }
  return found;
}

async function digestsUnder(folder: string): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(folder.length + 1);
    if (name !== sealName) digests[name] = (await digestFile(path)).digest;
  }
  return digests;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  const names: readonly string[] = await readdir(folder).catch(() => []);
  return names.toSorted();
}
