import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf } from "./errors.ts";

/**
 * Makes a folder and those above it that are not there. File system errors are passed on: the true ones, where Node's
 * own recursive `mkdir` says ENOENT of a file system that is read-only.
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    await mkdir(topmostMissing(path)).catch((cause: unknown) => {
      // Another process was faster.
      if (errnoOf(cause) !== "EEXIST") throw cause;
    });
    await mkdir(path, { recursive: true });
  }
}

function topmostMissing(path: string): string {
  const above = dirname(path);
  return above === path || existsSync(above) ? path : topmostMissing(above);
}
