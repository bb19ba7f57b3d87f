import { existsSync, readdirSync, renameSync, rmdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { makeFolder } from "../../cache/make-folder.ts";

/** Folders for the outputs and the scratch of a worker's steps. */
export interface PrivateFolders {
  /** An empty folder under a name that no step before had. */
  take(): Promise<string>;
  /** Removes what a step left in its folder. What cannot be removed is no failure: a later run clears it away. */
  leave(folder: string): Promise<void>;
  close(): void;
}

/**
 * A folder that a step leaves empty, as most do, serves the next one under a new name. A fresh one for each would cost
 * more than a small step itself: file systems go a long way around the places of what was just removed.
 *
 * @param fresh a path of which nothing is there yet, in the store's file system
 */
export function openPrivateFolders(fresh: () => string): PrivateFolders {
  let empty: string | undefined;
  return {
    async take() {
      const folder = fresh();
      const kept = empty;
      empty = undefined;
      // A user may have emptied the store's `tmp` meanwhile.
      if (kept !== undefined && existsSync(kept)) renameSync(kept, folder);
      else await makeFolder(folder);
      return folder;
    },
    async leave(folder) {
      try {
        if (existsSync(folder) && readdirSync(folder).length === 0) empty = folder;
        else await rm(folder, { recursive: true, force: true });
      } catch {
        // A broken or read-only disk.
      }
    },
    close() {
      try {
        if (empty !== undefined) rmdirSync(empty);
      } catch {
        // As in `leave`.
      }
    },
  };
}
