import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";
import type { Pack } from "tar-stream";

/** A sample of a WebDataset: files that share a key, by extension. */
export type ShardSample = Readonly<Record<string, Uint8Array | string>>;

/**
 * Writes WebDataset shards: tar archives whose members `00000012.txt`, `00000012.png`, ... belong to sample 12.
 *
 * @param folder an existing empty folder
 * @param samplesPerShard the last shard may have fewer
 * @returns paths of the shards, in order
 */
export async function writeShards(
  folder: string,
  samples: AsyncIterable<ShardSample>,
  samplesPerShard = 10_000,
): Promise<readonly string[]> {
  const paths: string[] = [];
  let shard: OpenShard | undefined;
  let count = 0;
  try {
    for await (const sample of samples) {
      if (count % samplesPerShard === 0) {
        await shard?.close();
        const path = join(folder, `${String(paths.length).padStart(5, "0")}.tar`);
        shard = openShard(path);
        paths.push(path);
      }
      const key = String(count++).padStart(8, "0");
      for (const [extension, content] of Object.entries(sample)) {
        await shard?.add(`${key}.${extension}`, content);
      }
    }
    await shard?.close();
  } catch (error) {
    shard?.abandon();
    throw error;
  }
  return paths;
}

interface OpenShard {
  add(name: string, content: Uint8Array | string): Promise<void>;
  close(): Promise<void>;
  abandon(): void;
}

function openShard(path: string): OpenShard {
  const archive: Pack = pack();
  const written = pipeline(archive, createWriteStream(path));
  // A disk that is full is met at the next file or at the end.
  written.catch(() => undefined);
  return {
    add: (name, content) =>
      Promise.race([
        written.then(() => undefined),
        new Promise<void>((resolve, reject) => {
          const bytes = typeof content === "string" ? Buffer.from(content) : Buffer.from(content);
          archive.entry({ name, mtime: new Date(0) }, bytes, (error) => (error ? reject(error) : resolve()));
        }),
      ]),
    async close() {
      archive.finalize();
      await written;
    },
    abandon: () => archive.destroy(),
  };
}
