import { exitCodes } from "./exit.ts";

/** Errors of an output that is gone: a closed pipe, a terminal that hung up. */
const goneCodes = new Set(["EPIPE", "EIO", "ECONNRESET", "ERR_STREAM_DESTROYED"]);

let outlives = false;

/** What is printed from now on may go nowhere: a run goes on when its terminal or its pipe is gone. */
export function outliveOutput(): void {
  outlives = true;
}

/** Makes a closed pipe (`ranflow show ... | head`) end the command quietly instead of as an uncaught error. */
export function guardOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (!goneCodes.has(error.code ?? "")) throw error;
      if (!outlives) process.exit(exitCodes.done);
    });
  }
}

/** Whether a stream shows colours: it is a terminal, and neither NO_COLOR nor a dumb terminal says otherwise. */
export function hasColor(stream: NodeJS.WriteStream): boolean {
  if (process.env["NO_COLOR"]) return false;
  if (process.env["FORCE_COLOR"]) return process.env["FORCE_COLOR"] !== "0";
  return stream.isTTY && process.env["TERM"] !== "dumb";
}
