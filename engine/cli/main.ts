#!/usr/bin/env node
import type { CommanderError } from "commander";
import { isCommitEcho } from "../../cache/errors.ts";
import { ranflowVersion } from "../../cache/version.ts";
import { keepCompiledCode } from "./compile-cache.ts";
import { closeAll, Exit, exitCodes } from "./exit.ts";
import { guardOutput } from "./output.ts";

/** Older Node lacks what the program's packages are built on; it would fail somewhere in the middle of a command. */
const oldestNode = 22;

async function main(): Promise<void> {
  guardOutput();
  if (Number.parseInt(process.versions.node) < oldestNode) {
    process.stderr.write(
      `error: Node ${process.versions.node} is too old, it takes ${oldestNode} or later\n` +
        "  `npx ranflow` in the project's folder runs it with the Node that `npm ci` installed there\n",
    );
    process.exitCode = exitCodes.wrongInput;
    return;
  }
  if (!hasFolder()) {
    process.stderr.write("error: the folder you are in was removed\n  change to one that is there\n");
    process.exitCode = exitCodes.wrongInput;
    return;
  }
  keepCompiledCode();
  process.on("uncaughtException", internalError);
  process.on("unhandledRejection", (error) => {
    if (!isCommitEcho(error)) internalError(error);
  });
  try {
    // Imported here, and not above, to be among the code that is kept compiled.
    const { createProgram } = await import("./program.ts");
    const program = await createProgram(process.argv[2]);
    await program.parseAsync(process.argv).finally(closeAll);
  } catch (error) {
    end(error);
  }
}

/** Relative paths start from the working directory, which somebody may have removed. */
function hasFolder(): boolean {
  try {
    process.cwd();
    return true;
  } catch {
    return false;
  }
}

function end(error: unknown): void {
  if (error instanceof Exit) {
    if (error.message) process.stderr.write(`error: ${error.message}\n`);
    process.exitCode = error.code;
  } else if (error instanceof Error && "code" in error && String(error.code).startsWith("commander.")) {
    // Help and version end with 0; commander has printed what was wrong otherwise.
    const { exitCode } = error as CommanderError;
    process.exitCode = exitCode === 0 ? exitCodes.done : exitCodes.wrongInput;
  } else if (error instanceof Error && error.name === "StoreError") {
    const { hint } = error as Error & { readonly hint?: string };
    process.stderr.write(`error: ${error.message}${hint ? `\n  ${hint}` : ""}\n`);
    process.exitCode = exitCodes.stepFailed;
  } else {
    internalError(error);
  }
}

function internalError(error: unknown): never {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(
    `ranflow: internal error\n${text}\n\n` +
      "This is a fault in ranflow, not in your pipeline. Finished steps are safe in the store.\n" +
      `Please report it with the command and the lines above (ranflow ${ranflowVersion()}, node ${process.version}).\n`,
  );
  process.exit(exitCodes.internal);
}

await main();
