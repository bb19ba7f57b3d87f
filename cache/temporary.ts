import { randomBytes } from "node:crypto";
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { taggedHash } from "./hash.ts";
import { isPidAlive, ownIdentity } from "./process.ts";

const day = 24 * 60 * 60 * 1000;

/** A fresh path under `<store>/tmp` whose name says which process made it. Nothing is created. */
export function temporaryPath(root: string): string {
  const { pid, start } = ownIdentity();
  return join(root, "tmp", `${scope()}-${pid}-${start}-${randomBytes(6).toString("hex")}`);
}

/**
 * Paths under `<store>/tmp` that no living process can be writing: those named by `temporaryPath` in a process
 * that is gone, and, with `now`, others that nobody touched for a day.
 */
export async function abandonedTemporaries(root: string, now?: number): Promise<readonly string[]> {
  const abandoned: string[] = [];
  for (const name of await readdir(join(root, "tmp")).catch(() => [])) {
    const path = join(root, "tmp", name);
    const owner = /^([0-9a-f]{8})-(\d+)-(\d*)-[0-9a-f]{12}$/.exec(name);
    const ours = owner !== null && owner[1] === scope();
    const gone = ours
      ? !isPidAlive(Number(owner[2]), owner[3] ?? "")
      : now !== undefined && (await untouchedForADay(path, now));
    if (gone) abandoned.push(path);
  }
  return abandoned;
}

/** Where a process number means this process: this boot of this machine, and this container. */
function scope(): string {
  const { boot, namespace } = ownIdentity();
  return taggedHash("ranflow/process-scope/1", [boot, namespace]).slice(0, 8);
}

async function untouchedForADay(path: string, now: number): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && now - found.mtimeMs > day;
}

/** Removes a file or folder, whatever it is. */
export async function removeAll(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
