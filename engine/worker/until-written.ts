import { statSync } from "node:fs";

/** Tries, and milliseconds between two: a full disk, a quota or a file server that is away may take minutes to mend. */
const tries = 60;
const pause = 5_000;

/**
 * Calls `write` until it does not throw. Rejects with its error where that takes too long, and at once where the folder
 * is gone: whoever removed it waits for nothing.
 */
export async function untilWritten(folder: string, write: () => void): Promise<void> {
  for (let left = tries - 1; ; left--) {
    try {
      write();
      return;
    } catch (error) {
      if (left === 0 || isGone(folder)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** True where a folder is not there any more; not so where the file server does not say. */
export function isGone(folder: string): boolean {
  try {
    statSync(folder);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}
