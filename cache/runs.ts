import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { RunId } from "../engine/model/ids.ts";
import { errnoOf } from "./errors.ts";
import { abandonedTemporaries, removeAll } from "./temporary.ts";

const form = /^\d{8}-\d{6}-[0-9a-f]{4}$/;

/** `20261124-030500-4f2a`: UTC time to the second, then the fraction of the second in 65536ths. Ids sort by time. */
export function runIdAt(time: number): RunId {
  const at = new Date(Math.floor(time));
  const [day, clock] = at.toISOString().slice(0, 19).replaceAll(/[-:]/g, "").split("T");
  const fraction = Math.min(0xffff, Math.floor(((time % 1000) / 1000) * 0x10000));
  return `${day}-${clock}-${fraction.toString(16).padStart(4, "0")}` as RunId;
}

/** When a run began, ms since the epoch, by its id; undefined for any other text. */
export function timeOfRun(id: string): number | undefined {
  if (!form.test(id)) return undefined;
  const part = (from: number, length: number): number => Number(id.slice(from, from + length));
  const seconds = Date.UTC(part(0, 4), part(4, 2) - 1, part(6, 2), part(9, 2), part(11, 2), part(13, 2));
  return seconds + (Number.parseInt(id.slice(16), 16) / 0x10000) * 1000;
}

/** Makes the folder of a new run, and removes what killed processes left unfinished. File system errors are passed on. */
export async function createRun(root: string): Promise<{ readonly id: RunId; readonly folder: string }> {
  // A worker that was killed leaves its step's whole output: without this, repeated crashes fill the disk.
  for (const path of await abandonedTemporaries(root)) await removeAll(path).catch(() => {});
  for (let time = Date.now(); ; time += 1000 / 0x10000) {
    const id = runIdAt(time);
    const folder = join(root, "runs", id);
    try {
      await mkdir(folder);
      return { id, folder };
    } catch (error) {
      // Another process began a run in the same instant.
      if (errnoOf(error) === "ENOENT") await mkdir(join(root, "runs"), { recursive: true });
      else if (errnoOf(error) !== "EEXIST") throw error;
    }
  }
}

/** Ids of the runs in a store, newest first. */
export async function listRuns(root: string): Promise<readonly RunId[]> {
  const names = await readdir(join(root, "runs")).catch(() => []);
  return names
    .filter((name) => form.test(name))
    .toSorted()
    .toReversed() as RunId[];
}
