import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { NodeError } from "../../../engine/sdk.ts";
import { backendsVariable } from "../places.ts";

const prefix = ".staging-";
const dayInMs = 86_400_000;

/**
 * Makes an empty private folder beside the installations, so that publishing is one rename.
 *
 * @param neededBytes the wheels, what is taken out of them, and the build
 */
export async function openStaging(root: string, neededBytes: number): Promise<string> {
  try {
    await mkdir(root, { recursive: true });
    await removeAbandoned(root);
    const { bavail, bsize } = await statfs(root);
    if (bavail * bsize < neededBytes)
      throw new NodeError(
        `${root} has ${Math.floor((bavail * bsize) / 1e6)} MB left, and the installation needs ${neededBytes / 1e6} MB`,
        { hint: `free some space, or name another folder with ${backendsVariable}` },
      );
    return await mkdtemp(join(root, `${prefix}${process.pid}-`));
  } catch (error) {
    throw cannotWrite(root, error);
  }
}

/**
 * Puts a finished folder in its place. What stood there is moved aside first and removed after: at every instant
 * the place holds a complete installation or none.
 */
export async function publish(staged: string, target: string): Promise<void> {
  const aside = join(dirname(target), `${prefix}${process.pid}-old`);
  await rm(aside, { recursive: true, force: true });
  if (existsSync(target)) await rename(target, aside);
  await rename(staged, target);
  await rm(aside, { recursive: true, force: true });
}

/** Removes what interrupted installations left behind; those still running are left alone. */
export async function removeAbandoned(root: string): Promise<void> {
  if (!existsSync(root)) return;
  for (const name of await readdir(root)) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(root, name);
    const age = Date.now() - (await stat(folder)).mtimeMs;
    if (isAlive(Number.parseInt(name.slice(prefix.length), 10)) && age < dayInMs) continue;
    await rm(folder, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process may not be signalled, but it lives.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Says where the user cannot write; any other error goes on as it is. */
export function cannotWrite(folder: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  if (!["EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST"].includes(code)) return error;
  return new NodeError(`cannot write to ${folder} (${code})`, {
    hint: `name a folder you can write to with ${backendsVariable}`,
    cause: error,
  });
}
