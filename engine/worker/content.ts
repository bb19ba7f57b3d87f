import { stat } from "node:fs/promises";
import { digestFile } from "../../cache/hash.ts";
import { mapLimit } from "../../cache/pool.ts";
import { fileStat } from "../../cache/stat-cache.ts";
import type { Digest } from "../model/ids.ts";
import type { FileStat } from "../model/protocol.ts";
import type { DriverChannel } from "./channel.ts";

/**
 * The digests of files as they are now: from the driver's stat cache, and by hashing those that it does not know.
 * Undefined for a path at which there is no file that can be read, or one that changes while it is.
 */
export async function contentOf(
  paths: readonly string[],
  channel: DriverChannel,
): Promise<readonly (Digest | undefined)[]> {
  if (paths.length === 0) return [];
  const at = Date.now();
  const look = (path: string): Promise<FileStat | undefined> =>
    stat(path, { bigint: true }).then(
      (status) => (status.isFile() ? fileStat(status) : undefined),
      () => undefined,
    );
  const stats = await mapLimit(paths, 64, look);
  const asked = paths.flatMap((path, i) => (stats[i] ? [[path, stats[i]] as const] : []));
  const answers = (await channel.ask({ what: "stat-get", files: asked })) as unknown as (Digest | null)[];
  const known = new Map(asked.map(([path], i) => [path, answers[i] ?? undefined]));
  const fresh: (readonly [path: string, stat: FileStat, digest: Digest])[] = [];
  const digests = await mapLimit(paths, 2, async (path, i) => {
    const before = stats[i];
    const trusted = known.get(path);
    if (trusted !== undefined || before === undefined) return trusted;
    const digest = await digestFile(path).then(
      (blob) => blob.digest,
      () => undefined,
    );
    if (digest === undefined || (await look(path))?.join() !== before.join()) return undefined;
    fresh.push([path, before, digest]);
    return digest;
  });
  if (fresh.length > 0) await channel.ask({ what: "stat-put", files: fresh, at });
  return digests;
}
