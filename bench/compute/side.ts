import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { Pair } from "./pairs.ts";

/** One measurement of a side: its pair's repeats. Seconds; CPU time is that of all threads. */
export interface Measurement {
  readonly wall: number;
  readonly cpu: number;
}

/** A process that does one pair's work each time it is told to. */
export interface Side {
  measure(): Promise<Measurement>;
  /** Ends the process. @returns its peak resident memory in bytes */
  close(): Promise<number>;
}

/**
 * Starts a side. Both speak one protocol of lines: `run` is answered by a measurement, `end` by `{peak}`; the
 * pair comes as the last argument, and a first line says that all is loaded and warm.
 */
export async function startSide(
  command: string,
  args: readonly string[],
  pair: Pair,
  environment: Readonly<Record<string, string>>,
): Promise<Side> {
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(
    command,
    [...args, JSON.stringify(pair)],
    { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...environment } },
  );
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${command} ended before it answered; see its messages above`);
    return JSON.parse(value) as unknown;
  };
  const ask = (line: string): Promise<unknown> => {
    child.stdin.write(`${line}\n`);
    return answer();
  };
  await answer();
  return {
    measure: async () => (await ask("run")) as Measurement,
    close: async () => ((await ask("end")) as { peak: number }).peak,
  };
}
