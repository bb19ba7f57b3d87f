import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

const day = 24 * 60 * 60 * 1000;
/** A cluster's steps say something more often than this, in ms. */
const longestSilence = 7 * day;

/** Steps that were given to a cluster: what they make belongs to no result until a driver has taken it. */
export interface Submissions {
  /** When the first of those was made in which something may still happen, ms since the epoch; undefined for none. */
  readonly since: number | undefined;
  /** Folders in which nothing has happened for long. */
  readonly abandoned: readonly string[];
}

/** Looks at the folders `<store>/slurm/<token>`. */
export async function submissionsIn(root: string, now: number): Promise<Submissions> {
  const folder = join(root, "slurm");
  const abandoned: string[] = [];
  let since: number | undefined;
  for (const token of await readdir(folder).catch(() => [])) {
    const path = join(folder, token);
    const times = await timesBelow(path);
    if (now - Math.max(...times) > longestSilence) abandoned.push(path);
    else since = Math.min(since ?? now, ...times);
  }
  return { since, abandoned };
}

async function timesBelow(path: string): Promise<readonly number[]> {
  const entries = await readdir(path, { recursive: true }).catch(() => []);
  return timesOf(["", ...entries].map((entry) => join(path, entry)));
}

/** When those of the paths at which there is something were last changed, ms since the epoch. */
export async function timesOf(paths: readonly string[]): Promise<readonly number[]> {
  const found = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
  return found.flatMap((status) => (status ? [status.mtimeMs] : []));
}
