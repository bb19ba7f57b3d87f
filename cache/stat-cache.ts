import type { FileStat } from "../engine/model/protocol.ts";
import type { StatEntry } from "./index-db.ts";

/** A change this shortly before may be followed by another that leaves the same times behind. */
const doubtful = 2_000_000_000n;

/** True where size, times and inode are those the digest was kept under. */
export function sameFile(entry: StatEntry, stat: FileStat): boolean {
  return stat.every((value, i) => value === entry[i]);
}

/** True where a file's last change lies at least 2 s away, so that its times tell a later change. */
export function isSettled([, modified, changed]: FileStat, nowMs: number): boolean {
  const now = BigInt(nowMs) * 1_000_000n;
  return [modified, changed].every((time) => {
    const age = now - BigInt(time);
    return age >= doubtful || age <= -doubtful;
  });
}
