import { spawn } from "node:child_process";
import { openSync, readFileSync, closeSync } from "node:fs";

/** What one command took. */
export interface Measured {
  /** Seconds from start to end. */
  readonly wall: number;
  /** Seconds of all cores, user and system, of the command and of the processes that it waited for. */
  readonly cpu: number;
  /** Bytes resident at most in the command's own process, as sampled; undefined where there is no /proc. */
  readonly peak: number | undefined;
}

export interface Command {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** File that takes what the command prints. */
  readonly output: string;
}

/** Milliseconds between two looks at the memory: it grows to its peak and stays there. */
const sampleEvery = 10;

/** bash alone tells what its children took, and has cost a thousandth of a second by then. */
const wrapper = `"$@" & wait $!; status=$?; times >&3; exit $status`;

/** Runs a command without a terminal. Rejects where it fails, with the end of what it printed. */
export async function measure({ argv, cwd, env, output }: Command): Promise<Measured> {
  const file = openSync(output, "w");
  const startedAt = performance.now();
  const child = spawn("bash", ["-c", wrapper, "bench", ...argv], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", file, file, "pipe"],
  });
  let peak: number | undefined;
  const timer = setInterval(() => {
    peak = Math.max(peak ?? 0, peakOfChild(child.pid) ?? 0) || undefined;
  }, sampleEvery);
  let times = "";
  child.stdio[3]?.on("data", (chunk: Buffer) => (times += chunk.toString()));
  try {
    const { code, wall } = await new Promise<{ code: number | null; wall: number }>((resolve, reject) => {
      let wall = 0;
      child.on("error", reject);
      child.on("exit", () => (wall = (performance.now() - startedAt) / 1000));
      child.on("close", (code) => resolve({ code, wall }));
    });
    if (code !== 0) {
      const end = readFileSync(output, "utf8").split("\n").slice(-20).join("\n");
      throw new Error(`${argv.join(" ")} (in ${cwd}) ended with ${code}:\n${end}`);
    }
    return { wall, cpu: childSeconds(times), peak };
  } finally {
    clearInterval(timer);
    closeSync(file);
  }
}

/** Bytes resident at most until now in the one child of a process. */
function peakOfChild(pid: number | undefined): number | undefined {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child}/status`, "utf8"))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    // It has not begun, or is over.
    return undefined;
  }
}

/** The second line of bash's `times`: user and system time of its children, as in `0m1.234s 0m0.567s`. */
function childSeconds(times: string): number {
  const line = times.split("\n")[1] ?? "";
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + 60 * Number(minutes) + Number(seconds),
    0,
  );
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
