import { readFileSync } from "node:fs";

interface Resident {
  /** Of all processes together, now. */
  readonly now: number;
  /** Of one process, ever. */
  readonly peak: number;
}

/** Bytes that a process and all that it started have at least held in memory at once; 0 where the kernel does not tell. */
export function treeMemory(pid: number): number {
  const { now, peak } = resident(pid);
  return Math.max(now, peak);
}

function resident(pid: number): Resident {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const bytes = (name: string): number =>
      1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
    const below = children.map((child) => resident(Number(child)));
    return {
      now: below.reduce((sum, { now }) => sum + now, bytes("VmRSS")),
      peak: Math.max(bytes("VmHWM"), ...below.map(({ peak }) => peak)),
    };
  } catch {
    // Not Linux, or it has just ended.
    return { now: 0, peak: 0 };
  }
}
