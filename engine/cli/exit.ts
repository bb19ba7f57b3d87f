import type { RunEvent } from "../model/events.ts";
import { unreachable } from "../model/result.ts";

/** Exit codes: DESIGN section 3, and `EX_SOFTWARE` of sysexits for a fault of ranflow's own. */
export const exitCodes = { done: 0, stepFailed: 1, wrongInput: 2, internal: 70, interrupted: 130 } as const;

/** How a run ended. */
export type Outcome = (RunEvent & { readonly type: "run-finished" })["outcome"];

/** The exit code of a command that ends as the run did; 0 where the person looked away before. */
export function outcomeCode(outcome: Outcome | undefined): number {
  switch (outcome) {
    case undefined:
    case "succeeded":
      return exitCodes.done;
    case "failed":
      return exitCodes.stepFailed;
    case "interrupted":
      return exitCodes.interrupted;
    default:
      return unreachable(outcome);
  }
}

/** Ends the command: `main` prints the message and exits with the code, after every `finally` has run. */
export class Exit extends Error {
  readonly code: number;

  constructor(code: number, message = "") {
    super(message);
    this.name = "Exit";
    this.code = code;
  }
}

/** Ends the command with a message for the user. */
export function fail(message: string, code: number = exitCodes.wrongInput): never {
  throw new Exit(code, message);
}

const endings: (() => Promise<void>)[] = [];

/** Has something closed when the command ends, however it ends; what was opened last is closed first. */
export function atEnd(close: () => Promise<void>): void {
  endings.push(close);
}

/** Closes what the command opened. */
export async function closeAll(): Promise<void> {
  for (let close = endings.pop(); close; close = endings.pop()) await close();
}
