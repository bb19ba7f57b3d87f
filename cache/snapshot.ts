import { copyFile, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emptyIndex, openIndex } from "./index-db.ts";
import type { Index } from "./index-db.ts";

/** LMDB's two meta pages: every commit changes one of them. */
const metaBytes = 2 * 4096;
const tries = 5;

/**
 * Opens a private copy of an index whose folder cannot be written. The copy is taken again where a commit came in
 * between. A store that is written to all the time is read as an empty one: its steps would all run.
 */
export async function openSnapshot(root: string): Promise<Index> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-index-"));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const source = join(root, "index", "data.mdb");
  try {
    for (let i = 0; i < tries; i++) {
      const before = await metaPages(source);
      await copyFile(source, join(folder, "data.mdb"));
      if (!before.equals(await metaPages(source))) continue;
      const index = openIndex(folder, root, true);
      return {
        ...index,
        close: async () => {
          await index.close();
          await remove();
        },
      };
    }
  } catch (error) {
    await remove();
    throw error;
  }
  await remove();
  return emptyIndex();
}

async function metaPages(path: string): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(metaBytes), 0, metaBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
