import { appendFileSync, closeSync, fstatSync, openSync } from "node:fs";

/** Appends lines to a file that nobody else writes to meanwhile. */
export interface LineWriter {
  add(line: string): void;
  /** Writes what was added. What cannot be written now is kept for the next time: false. Never throws. */
  flush(): boolean;
}

/**
 * The file is opened for every write: that is when network file systems see to it that the other side sees it.
 *
 * @param path need not be there yet
 */
export function createLineWriter(path: string): LineWriter {
  let added: string[] = [];
  let waiting = Buffer.alloc(0);
  /** Bytes of the file before those that wait; an earlier process may have left some. */
  let written: number | undefined;

  const append = (file: number): void => {
    // A write that failed, be it only when the file was closed, may have come through in part.
    const { size } = fstatSync(file);
    waiting = waiting.subarray(Math.max(0, size - (written ?? size)));
    written = size;
    appendFileSync(file, waiting);
  };

  return {
    add: (line) => void added.push(`${line}\n`),
    flush() {
      waiting = Buffer.concat([waiting, Buffer.from(added.join(""))]);
      added = [];
      if (waiting.length === 0) return true;
      try {
        const file = openSync(path, "a");
        try {
          append(file);
        } finally {
          closeSync(file);
        }
      } catch {
        return false;
      }
      written = (written ?? 0) + waiting.length;
      waiting = Buffer.alloc(0);
      return true;
    },
  };
}
