import { closeSync, existsSync, fstatSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { RootDatabase } from "lmdb";

/** Kept beyond what ordinary writes may use, so that a full disk leaves room to forget things. */
const margin = 512 * 1024;
const zeros = Buffer.alloc(256 * 1024);
/** One put copies a leaf, and sometimes splits it; the branches above are shared by the puts of a commit. */
const bytesPerPut = 2 * 4096;
/** Branches, roots of the tables, the list of free pages. */
const bytesPerCommit = 256 * 1024;

/** What a write is about to add, roughly. */
export interface WriteSize {
  readonly count: number;
  readonly bytes: number;
}

/**
 * Keeps the file of an LMDB environment longer than its content, so that a commit only fills space that is
 * allocated already. A commit that met a full or read-only disk would not fail cleanly: lmdb's writer thread then
 * damages the process's heap, and what it had to say comes as promises nobody holds.
 *
 * LMDB knows its last page from its own header and never looks at what lies behind it. The file is lengthened
 * under LMDB's write lock, so that no commit of any process is under way.
 */
export interface Room {
  /**
   * Sees to it that a write fits, until it is given back. `urgent` writes, which free space, may use the margin.
   * Throws the file system's error where there is no room (ENOSPC) or the file cannot be written any more (EROFS).
   */
  reserve(size: WriteSize, urgent: boolean): () => void;
  /** Throws the file system's error where the file cannot be written any more. */
  check(): void;
}

/**
 * Throws the file system's error where a new environment would not fit into the folder: LMDB itself would also write a
 * line about that to stderr.
 *
 * @param trial path of a file that is made for this and removed
 */
export function checkRoomForNew(folder: string, trial: string): void {
  if (existsSync(join(folder, "data.mdb"))) return;
  const file = openSync(trial, "wx");
  try {
    for (let length = 0; length < zeros.length;) length += writeSync(file, zeros, length);
  } finally {
    closeSync(file);
    rmSync(trial);
  }
}

/** @param chunk bytes that are added at a time */
export function openRoom(environment: RootDatabase, folder: string, chunk = 1024 * 1024): Room {
  const path = join(folder, "data.mdb");
  let length = 0;
  const outstanding = { count: 0, bytes: 0 };

  const content = (): number => {
    const { lastPageNumber, pageSize } = environment.getStats() as {
      lastPageNumber: number;
      pageSize: number;
    };
    return (lastPageNumber + 1) * pageSize;
  };

  const lengthen = (needed: number): void => {
    environment.transactionSync(() => {
      const file = openSync(path, "r+");
      try {
        length = fstatSync(file).size;
        const target = content() + needed + chunk;
        while (length < target) {
          length += writeSync(file, zeros, 0, Math.min(zeros.length, target - length), length);
        }
      } catch (error) {
        // What could be had may do; whether it does is looked at below.
        if (length < content() + needed) throw error;
      } finally {
        closeSync(file);
      }
    });
  };

  // A file system that turned read-only refuses to open what it still lets be written, or fails later.
  const check = (): void => closeSync(openSync(path, "r+"));

  return {
    check,
    reserve: ({ count, bytes }, urgent) => {
      check();
      outstanding.count += count;
      outstanding.bytes += bytes;
      const giveBack = (): void => {
        outstanding.count -= count;
        outstanding.bytes -= bytes;
      };
      const used = content();
      const added = 2 * outstanding.bytes;
      // A commit never copies more than there is.
      const copied = Math.min(outstanding.count * bytesPerPut, used + added);
      const needed = copied + added + bytesPerCommit + (urgent ? 0 : margin);
      try {
        if (length < used + needed) lengthen(needed);
      } catch (error) {
        giveBack();
        throw error;
      }
      return giveBack;
    },
  };
}
