import { open } from "node:fs/promises";

/** Has the operating system put a file, or a folder's names, on the disk. */
export async function flush(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
