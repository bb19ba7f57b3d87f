import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { NodeError } from "../../engine/sdk.ts";
import type { ProgramOutput } from "./output.ts";

export interface Program {
  /** Absolute path. */
  readonly file: string;
  /** What the program is called by, its own first argument. */
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** How a program ended. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How long what a program has written may take to arrive after its end, in ms. */
const lastWords = 1_000;

/**
 * Kills a process group when its standard input ends, that is, when this process is gone in whatever way: the kernel
 * closes the pipe. The first line names the group.
 */
const watchdogScript = 'read -r group && { while read -r _; do :; done; kill -s KILL -- "-$group"; }';

/**
 * Runs a program in a process group of its own, without input, to its end. Whatever it has started and left in the
 * group ends with it, with this process, or with the step: SIGTERM first then, and SIGKILL after the grace.
 */
export async function supervise(
  program: Program,
  options: {
    readonly signal: AbortSignal;
    /** Milliseconds between SIGTERM and SIGKILL. */
    readonly grace: number;
    readonly output: ProgramOutput;
    readonly warn: (message: string) => void;
  },
): Promise<ProgramEnd> {
  const { grace, output, signal, warn } = options;
  signal.throwIfAborted();
  // First, so that there is no moment in which the program runs unwatched but for that of its own start.
  const watchdog = startWatchdog(warn);
  const child = spawn(program.file, program.args, {
    argv0: program.command,
    cwd: program.cwd,
    env: program.env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) {
    const [error] = (await once(child, "error")) as [NodeJS.ErrnoException];
    watchdog.kill("SIGKILL");
    throw notStarted(program, error);
  }
  watchdog.stdin?.write(`${pid}\n`);

  const reading = [follow(child.stdout, "stdout", output), follow(child.stderr, "stderr", output)];
  let killer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    killGroup(pid, "SIGTERM");
    killer = setTimeout(() => killGroup(pid, "SIGKILL"), grace);
  };
  const leave = (): void => {
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    const [code, ended] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    return { code, signal: ended };
  } finally {
    signal.removeEventListener("abort", stop);
    clearTimeout(killer);
    killGroup(pid, "SIGKILL");
    watchdog.kill("SIGKILL");
    // What has left the group may hold the streams open for ever. Timers come before what has arrived, immediates after
    // it: where this process was held up, the words are read all the same.
    const patience = setTimeout(() => setImmediate(leave), lastWords);
    await Promise.all(reading);
    clearTimeout(patience);
  }
}

function startWatchdog(warn: (message: string) => void): ChildProcess {
  const watchdog = spawn("/bin/sh", ["-c", watchdogScript], {
    cwd: "/",
    env: {},
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watchdog.on("error", ({ message }) =>
    warn(`nothing ends the program should this process be killed: ${message}`),
  );
  // It may be gone before it was told anything.
  watchdog.stdin.on("error", () => {});
  return watchdog;
}

/** Signals every process of a group that is still there. */
function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // EPERM: what is left runs under another user, by the program's own doing.
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

/** Hands on what a stream brings, no faster than it is taken. */
function follow(stream: Readable, name: "stdout" | "stderr", output: ProgramOutput): Promise<void> {
  stream.on("data", (chunk: Buffer) => {
    const full = output.write(name, chunk);
    if (!full) return;
    stream.pause();
    void full.then(() => stream.resume());
  });
  // A broken pipe ends the stream, which is all that matters here.
  stream.on("error", () => {});
  return new Promise((resolve) => {
    stream.once("close", resolve);
  });
}

function notStarted({ command, file }: Program, error: NodeJS.ErrnoException): NodeError {
  const hints: Readonly<Record<string, string>> = {
    ENOENT: "its first line names an interpreter that is not there",
    EACCES: "make it executable: `chmod +x`",
    ENOEXEC:
      "it is no program for this machine; a script needs a first line such as `#!/usr/bin/env python3`",
    E2BIG: "its arguments are too long: put them into a file, and list that under `files`",
    EAGAIN: "there are too many processes",
    ENOMEM: "there is no memory left to start it",
  };
  const hint = hints[error.code ?? ""];
  return new NodeError(
    `the program ${command} (${file}) could not be started: ${error.code ?? error.message}`,
    {
      ...(hint !== undefined && { hint }),
      cause: error,
    },
  );
}
