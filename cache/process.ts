import { readFileSync, readlinkSync } from "node:fs";
import { hostname, uptime } from "node:os";

/** Who holds something: enough to tell later whether that process still lives. */
export interface ProcessIdentity {
  readonly host: string;
  /** Changes with every boot of the machine. */
  readonly boot: string;
  /** Process id namespace: in another container the same number is another process. */
  readonly namespace: string;
  readonly pid: number;
  /** Start of the process in ticks since boot, so that a pid given out again is told apart. */
  readonly start: string;
}

/** Identity of a boot, usable in a file name. Where the system has no boot id, the boot time to 10 seconds. */
export function bootId(): string {
  return (
    readText("/proc/sys/kernel/random/boot_id") ?? `boot-${Math.round((Date.now() / 1000 - uptime()) / 10)}`
  );
}

let own: ProcessIdentity | undefined;

/** This process. */
export function ownIdentity(): ProcessIdentity {
  own ??= {
    host: hostname(),
    boot: bootId(),
    namespace: pidNamespace(),
    pid: process.pid,
    start: processStart(process.pid) ?? "",
  };
  return own;
}

/**
 * Whether a process lives: `undefined` where it cannot be told from here (another machine or container), so that
 * only a heartbeat can say.
 */
export function isAlive(holder: ProcessIdentity): boolean | undefined {
  const self = ownIdentity();
  if (holder.boot !== self.boot) return holder.host === self.host ? false : undefined;
  if (holder.namespace !== self.namespace) return undefined;
  return isPidAlive(holder.pid, holder.start);
}

/** Whether the process with this number is there and is the one that started then. */
export function isPidAlive(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const now = processStart(pid);
  return now === undefined || start === "" || now === start;
}

/** Start time in ticks since boot; undefined off Linux, "gone" for a zombie, which runs no more. */
function processStart(pid: number): string | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command, in parentheses, may hold spaces: fields are counted after the last parenthesis.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? "gone" : fields[19];
}

function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
