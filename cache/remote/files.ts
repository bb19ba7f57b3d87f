/** How files come into a shared folder: each under its name by one step, whole, for many machines write there at once. */
import { randomBytes } from "node:crypto";
import { chmod, copyFile, link, lstat, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { errnoOf } from "../errors.ts";
import { flush } from "../flush.ts";

const day = 24 * 60 * 60 * 1000;
const groupWrite = 0o020;

/** Makes a folder as its shared folder is: where the group may write, it may write here too, whoever made it. */
async function makeSharedFolder(root: string, folder: string): Promise<void> {
  const made = await mkdir(folder, { recursive: true });
  if (made === undefined) return;
  const { mode } = await stat(root);
  if ((mode & groupWrite) === 0) return;
  for (let path = folder; path.length >= made.length; path = dirname(path)) await chmod(path, mode & 0o7777);
}

async function unfinished(root: string): Promise<string> {
  const folder = join(root, "tmp");
  await makeSharedFolder(root, folder);
  return join(folder, `${hostname().slice(0, 40)}-${process.pid}-${randomBytes(8).toString("hex")}`);
}

/** Puts a copy of a file in its place, whole; its size in bytes. */
export async function copyOnce(root: string, target: string, source: string): Promise<number> {
  const temporary = await unfinished(root);
  try {
    await copyFile(source, temporary);
    await flush(temporary);
    const { size } = await stat(temporary);
    await chmod(temporary, 0o444 & ~process.umask());
    await makeSharedFolder(root, dirname(target));
    await rename(temporary, target);
    return size;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Puts a text in its place, whole, over whatever is there. */
export async function writeOver(root: string, target: string, text: string): Promise<void> {
  const temporary = await writeTemporary(root, text);
  try {
    await makeSharedFolder(root, dirname(target));
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Puts a text in its place. False where a file was there, which stays: a link, unlike a rename, replaces nothing. */
export async function writeOnce(root: string, target: string, text: string): Promise<boolean> {
  const temporary = await writeTemporary(root, text);
  try {
    await makeSharedFolder(root, dirname(target));
    await link(temporary, target);
    return true;
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EEXIST") return false;
    // Some file systems have no links: there the last of two that push one result at once stays, which is as good.
    if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP" && code !== "ENOSYS") throw error;
    await rename(temporary, target);
    return true;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeTemporary(root: string, text: string): Promise<string> {
  const temporary = await unfinished(root);
  const file = await open(temporary, "wx", 0o666);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}

/** Removes what somebody's push left unfinished more than a day ago; what is another's to remove stays. */
export async function removeUnfinished(root: string, now: number = Date.now()): Promise<void> {
  const folder = join(root, "tmp");
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    if (found && now - found.mtimeMs > day) await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}
