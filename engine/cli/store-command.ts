/** What the commands on the store itself have in common. */
import type { Command } from "commander";
import type { Store } from "../../cache/types.ts";
import { exitCodes } from "./exit.ts";
import { overwriteLine } from "./output.ts";

/** Options of the commands on the store. */
export interface StoreCommandOptions {
  readonly store?: string;
  readonly json?: boolean;
}

/** Adds `--store` and `--json`. */
export function storeOptions(command: Command): Command {
  return command
    .option("--store <dir>", "the store (default: RANFLOW_STORE, else the nearest .ranflow)")
    .option("--json", "print JSON");
}

/** Opens the store (makes one where there is none, with `make`), does the work, closes it; problems of the store are said and become the exit code. */
export async function withStore(
  options: StoreCommandOptions,
  { readOnly, make = false }: { readonly readOnly: boolean; readonly make?: boolean },
  work: (store: Store) => Promise<void>,
): Promise<void> {
  const [{ existsSync }, { findStoreRoot }, { openStore }, { StoreError }] = await Promise.all([
    import("node:fs"),
    import("../../cache/find.ts"),
    import("../../cache/store.ts"),
    import("../../cache/errors.ts"),
  ]);
  const root = findStoreRoot({ flag: options.store, env: process.env, cwd: process.cwd() });
  if (!make && !existsSync(root)) {
    complain(`there is no store at ${root}`, "`ranflow run` makes one; name another with --store");
    process.exitCode = exitCodes.wrongInput;
    return;
  }
  const opened = await openStore({ root, readOnly });
  if (!opened.ok) {
    complain(opened.error.message, opened.error.hint);
    process.exitCode = exitCodes.wrongInput;
    return;
  }
  try {
    await work(opened.value);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    complain(error.message, error.hint);
    process.exitCode = error.code === "wrong-folder" ? exitCodes.wrongInput : exitCodes.stepFailed;
  } finally {
    await opened.value.close();
  }
}

/** Prints a value as text, or as JSON where that was asked for. */
export function print(options: StoreCommandOptions, value: unknown, text: string): void {
  console.log(options.json ? JSON.stringify(value, undefined, 2) : text);
}

/** Says what is wrong and what to do. */
export function complain(message: string, hint?: string): void {
  console.error(hint ? `error: ${message}\n  ${hint}` : `error: ${message}`);
}

/** Ends a command on wrong input, with code 2. */
export function refuseInput(message: string, hint?: string): void {
  complain(message, hint);
  process.exitCode = exitCodes.wrongInput;
}

/** Progress on a terminal's standard error, nothing elsewhere: `hashing 12 of 400`. */
export function progressLine(
  doing: string,
  options: StoreCommandOptions,
): (done: number, total: number) => void {
  if (options.json || !process.stderr.isTTY) return () => {};
  let shown = 0;
  return (done, total) => {
    const now = Date.now();
    if (done < total && now - shown < 100) return;
    shown = now;
    overwriteLine(process.stderr, done < total ? `${doing} ${done} of ${total}` : "");
  };
}
