import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { NodeError } from "../../engine/sdk.ts";

/** A file open for reading, as the container readers take it. */
export interface OpenFile {
  readonly handle: FileHandle;
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

/** Opens a file to read it. @throws NodeError where it cannot be read, or is a folder */
export async function openFile(path: string): Promise<OpenFile> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (cause) {
    throw new NodeError(`cannot open ${path}`, {
      cause,
      hint: "Check that the file exists and may be read.",
    });
  }
  const info = await handle.stat();
  if (info.isFile()) return { handle, path, size: info.size };
  await handle.close();
  throw new NodeError(`${path} is not a file`, { hint: "Give the path of a file in it." });
}

/** Bytes of a file in a buffer of their own; undefined where the file ends before. */
export async function readExactly(
  { handle, size }: OpenFile,
  position: number,
  length: number,
): Promise<Uint8Array | undefined> {
  // Before the buffer is made: a length that a file claims may be anything.
  if (position + length > size) return undefined;
  const bytes = new Uint8Array(length);
  // One read call returns at most 2 GiB.
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 1 << 30), position + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return bytes;
}
