import { inert } from "../report/format.ts";
import { exitCodes } from "./exit.ts";

/** Errors of an output that is gone: a closed pipe, a terminal that hung up. */
const goneCodes = new Set(["EPIPE", "EIO", "ECONNRESET", "ERR_STREAM_DESTROYED"]);

let outlives = false;

/** What is printed from now on may go nowhere: a run goes on when its terminal or its pipe is gone. */
export function outliveOutput(): void {
  outlives = true;
}

/** What a package of the terminal UI writes to the standard error when the process ends, be it a terminal or not. */
const showCursor = "\u001b[?25h";

type Write = (chunk: unknown, ...rest: unknown[]) => boolean;
/** How the streams write that are guarded. */
const unguarded = new Map<NodeJS.WriteStream, Write>();

/**
 * Makes a closed pipe (`ranflow show ... | head`) end the command quietly instead of as an uncaught error, and takes
 * the power over the terminal from all that is printed: names, logs and results may come from anywhere.
 */
export function guardOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream) as Write;
    unguarded.set(stream, write);
    const color = hasColor(stream);
    stream.write = (chunk: unknown, ...rest: unknown[]) => {
      if (chunk === showCursor) return !stream.isTTY || write(chunk, ...rest);
      return write(typeof chunk === "string" ? inert(chunk, { color }) : chunk, ...rest);
    };
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (!goneCodes.has(error.code ?? "")) throw error;
      if (!outlives) process.exit(exitCodes.done);
    });
  }
}

/** Hands the standard output to what draws on the terminal, and sees to it itself that nothing else does. */
export function drawnOutput(): typeof process.stdout {
  const { stdout } = process;
  stdout.write = unguarded.get(stdout) ?? stdout.write;
  return stdout;
}

/** Writes a line over the one before, on a terminal; `end` goes on to the next. */
export function overwriteLine(stream: NodeJS.WriteStream, text: string, end = ""): void {
  unguarded.get(stream)?.(`\r${inert(text, { color: false })}\u001b[K${end}`);
}

/** Whether a stream shows colours: it is a terminal, and neither NO_COLOR nor a dumb terminal says otherwise. */
export function hasColor(stream: NodeJS.WriteStream): boolean {
  if (process.env["NO_COLOR"]) return false;
  if (process.env["FORCE_COLOR"]) return process.env["FORCE_COLOR"] !== "0";
  return stream.isTTY && process.env["TERM"] !== "dumb";
}
