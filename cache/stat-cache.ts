import type { BigIntStats } from "node:fs";
import type { Digest } from "../engine/model/ids.ts";
import type { FileStat } from "../engine/model/protocol.ts";
import { fit } from "./index-db.ts";
import type { Index } from "./index-db.ts";

/** A change this shortly before may be followed by another that leaves the same times behind. */
const doubtful = 2_000_000_000n;

/** A file's identity: size, times and inode. */
export function fileStat({ size, mtimeNs, ctimeNs, ino }: BigIntStats): FileStat {
  return [`${size}`, `${mtimeNs}`, `${ctimeNs}`, `${ino}`];
}

/** The digest that was kept of a file, where size, times and inode are those that it was kept under. */
export function knownDigest(index: Pick<Index, "stats">, path: string, stat: FileStat): Digest | undefined {
  const entry = index.stats.get(fit(path));
  return entry && stat.every((value, i) => value === entry[i]) ? entry[4] : undefined;
}

/**
 * True where a file's last change lay at least 2 s back when it was looked at, so that its times tell a later change.
 * Somebody may have given it a later time of modification; what the system says of its last change is in the future
 * only where a file server's clock is ahead.
 *
 * @param atMs before it was read, ms since the epoch
 */
export function isSettled([, modified, changed]: FileStat, atMs: number): boolean {
  const at = BigInt(atMs) * 1_000_000n;
  const [sinceModified, sinceChanged] = [at - BigInt(modified), at - BigInt(changed)];
  return sinceChanged >= doubtful && (sinceModified >= doubtful || sinceModified <= -doubtful);
}
