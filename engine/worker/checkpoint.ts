import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { checkpointProblem, sealCheckpoint } from "../../cache/checkpoints.ts";
import { flush } from "../../cache/flush.ts";
import { makeFolder } from "../../cache/make-folder.ts";
import type { StepCheckpoint } from "../sdk.ts";

export interface CheckpointOptions {
  /** `<store>/checkpoints/<key>`. */
  readonly folder: string;
  readonly variant: string;
  /** 0 makes a checkpoint due whenever it is asked for. */
  readonly minutes: number;
  readonly signal: AbortSignal;
  /** Called before a checkpoint gets its number: ends a process that is not to write it any more. */
  readonly fence?: () => Promise<void>;
  /** Milliseconds; a clock for tests. */
  readonly now?: () => number;
}

const complete = /^\d{8}$/;

/**
 * A step's checkpoints: `<folder>/<variant>/<number>`, of which the highest counts. A folder gets its number by
 * one rename after all of its bytes are flushed, so a numbered folder is a complete one, whenever the process died.
 */
export function openCheckpoint({
  folder,
  variant,
  minutes,
  signal,
  fence = async () => {},
  now = () => performance.now(),
}: CheckpointOptions): StepCheckpoint {
  const root = join(folder, encodeURIComponent(variant).replaceAll(".", "%2E"));
  let last = now();
  return {
    async restore() {
      await removeUnfinished(root);
      const name = (await numbered(root)).at(-1);
      if (name === undefined) return undefined;
      const saved = join(root, name);
      if ((await checkpointProblem(saved)) === undefined) return saved;
      // Going on from a state that nobody computed would end in a result that looks like any other.
      await rm(saved, { recursive: true, force: true });
      return undefined;
    },
    due: () => signal.aborted || now() - last >= minutes * 60_000,
    async save(write) {
      await makeFolder(root);
      const unfinished = join(root, `unfinished-${randomUUID()}`);
      await mkdir(unfinished);
      try {
        await write(unfinished);
        await sealCheckpoint(unfinished);
        await flushFolder(unfinished);
        await fence();
        const older = await numbered(root);
        const number = Number(older.at(-1) ?? 0) + 1;
        await rename(unfinished, join(root, String(number).padStart(8, "0")));
        await flush(root);
        await Promise.all(older.map((name) => rm(join(root, name), { recursive: true, force: true })));
      } catch (error) {
        await rm(unfinished, { recursive: true, force: true });
        throw error;
      }
      last = now();
    },
  };
}

/** True where a step left a complete checkpoint of any variant. */
export async function hasCheckpoint(folder: string): Promise<boolean> {
  for (const variant of await namesIn(folder)) {
    if ((await numbered(join(folder, variant))).length > 0) return true;
  }
  return false;
}

/** True where a complete checkpoint of any variant is younger than this time, in ms by the file system's clock. */
export async function checkpointSince(folder: string, time: number): Promise<boolean> {
  for (const variant of await namesIn(folder)) {
    for (const name of await numbered(join(folder, variant))) {
      const found = await stat(join(folder, variant, name)).catch(() => undefined);
      if (found && found.mtimeMs > time) return true;
    }
  }
  return false;
}

/** The key's lease is ours, so whoever left these half-written is gone. */
async function removeUnfinished(root: string): Promise<void> {
  const left = (await namesIn(root)).filter((name) => !complete.test(name));
  await Promise.all(left.map((name) => rm(join(root, name), { recursive: true, force: true })));
}

async function numbered(root: string): Promise<readonly string[]> {
  return (await namesIn(root)).filter((name) => complete.test(name)).toSorted();
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

async function flushFolder(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (entry.isFile() || entry.isDirectory()) await flush(join(entry.parentPath, entry.name));
  }
  await flush(folder);
}
