#!/usr/bin/env node
import { existsSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { ranflowVersion } from "../../cache/version.ts";
import { nodeLibrary } from "./context.ts";
import { Exit, exitCodes } from "./exit.ts";
import { guardOutput } from "./output.ts";

/** In the order of the help text. Each module only registers; what is heavy is imported by its action. */
const commands = [
  "init",
  "check",
  "plan",
  "run",
  "watch",
  "replay",
  "show",
  "explain",
  "log",
  "metrics",
  "nodes",
  "schema",
  "cache",
  "backend",
  "doctor",
] as const;

interface CommandModule {
  register(program: Command, library: typeof nodeLibrary): void;
}

async function main(): Promise<void> {
  guardOutput();
  process.on("uncaughtException", internalError);
  process.on("unhandledRejection", internalError);
  const program = new Command("ranflow")
    .description(
      "A declarative experiment-graph engine: runs the steps of a YAML pipeline that are not in the store yet.",
    )
    .version(ranflowVersion())
    .exitOverride()
    .showHelpAfterError("(add --help for the options)");
  for (const name of commands) {
    const url = new URL(
      `./commands/${name}.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`,
      import.meta.url,
    );
    if (existsSync(url)) ((await import(url.href)) as CommandModule).register(program, nodeLibrary);
  }
  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    end(error);
  }
}

function end(error: unknown): void {
  if (error instanceof Exit) {
    if (error.message) process.stderr.write(`ranflow: ${error.message}\n`);
    process.exitCode = error.code;
  } else if (error instanceof CommanderError) {
    // Help and version end with 0; commander has printed what was wrong otherwise.
    process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.wrongInput;
  } else if (error instanceof Error && error.name === "StoreError") {
    const { hint } = error as Error & { readonly hint?: string };
    process.stderr.write(`ranflow: ${error.message}${hint ? `\n  ${hint}` : ""}\n`);
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
