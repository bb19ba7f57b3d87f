import { open } from "node:fs/promises";

/** Reads a file that grows, line by line. */
export interface LineReader {
  /** The whole lines that came since the last look; none while there is no file. */
  read(): Promise<readonly string[]>;
}

/**
 * The file is opened for every look: that is when a network file system asks its server for what is new.
 *
 * @param path need not be there yet
 */
export function createLineReader(path: string): LineReader {
  let offset = 0;
  let rest = Buffer.alloc(0);
  const readNew = async (): Promise<readonly string[]> => {
    const file = await open(path, "r").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    if (!file) return [];
    try {
      const { size } = await file.stat();
      if (size <= offset) return [];
      const bytes = Buffer.alloc(size - offset);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
      offset += bytesRead;
      rest = Buffer.concat([rest, bytes.subarray(0, bytesRead)]);
    } finally {
      await file.close();
    }
    const end = rest.lastIndexOf(0x0a) + 1;
    const lines = rest.subarray(0, end).toString("utf8").split("\n").slice(0, -1);
    rest = rest.subarray(end);
    return lines;
  };
  let last: Promise<unknown> = Promise.resolve();
  return {
    read() {
      const next = last.then(readNew, readNew);
      last = next;
      return next;
    },
  };
}
