import { constants } from "node:os";
import { NodeError } from "../../engine/sdk.ts";
import type { ProgramEnd } from "./supervise.ts";

/**
 * Sees that a program ended well.
 *
 * @param tail the last lines it printed, for the report
 * @throws NodeError naming exit code or signal
 */
export function checkEnd(program: string, { code, signal }: ProgramEnd, tail: readonly string[]): void {
  if (code === 0) return;
  // A program that starts others passes on their end by a shell's custom: 128 and the signal's number.
  const passedOn = code === null || code <= 128 ? undefined : signalName(code - 128);
  const how =
    code === null
      ? `was ended by ${signal}`
      : `exited with code ${code}${passedOn === undefined ? "" : ` (${passedOn})`}`;
  const last = tail.findLast((line) => line.trim() !== "")?.trim();
  throw new NodeError(`the program ${program} ${how}${last === undefined ? "" : `: ${last}`}`, {
    hint: hintFor(code, signal ?? passedOn),
    ...(tail.length > 0 && { detail: tail.join("\n") }),
  });
}

function signalName(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}

function hintFor(code: number | null, signal: string | undefined): string {
  switch (signal) {
    case "SIGKILL":
      return (
        "the operating system does this when memory runs out: run fewer steps at once with --slots cpu=N, or give the " +
        "node `resources: { memory: ... }`"
      );
    case "SIGSEGV":
    case "SIGBUS":
    case "SIGILL":
    case "SIGFPE":
    case "SIGABRT":
      return "the program or a library of it crashed; `ranflow log STEP` has all that it printed";
    case "SIGTERM":
    case "SIGINT":
    case "SIGHUP":
      return "somebody stopped it: run again";
    default:
      if (code === 127) return "that code says that a program which it starts was not found";
      if (code === 126) return "that code says that a program which it starts may not be executed";
      return "`ranflow log STEP` has all that it printed";
  }
}
