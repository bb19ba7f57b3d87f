#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { ranflowVersion } from "../../cache/version.ts";
import * as backend from "./commands/backend.ts";
import * as cache from "./commands/cache.ts";
import * as check from "./commands/check.ts";
import * as doctor from "./commands/doctor.ts";
import * as explain from "./commands/explain.ts";
import * as init from "./commands/init.ts";
import * as log from "./commands/log.ts";
import * as metrics from "./commands/metrics.ts";
import * as nodes from "./commands/nodes.ts";
import * as plan from "./commands/plan.ts";
import * as replay from "./commands/replay.ts";
import * as run from "./commands/run.ts";
import * as schema from "./commands/schema.ts";
import * as show from "./commands/show.ts";
import * as tag from "./commands/tag.ts";
import * as watch from "./commands/watch.ts";
import { keepCompiledCode } from "./compile-cache.ts";
import { nodeLibrary } from "./context.ts";
import { Exit, exitCodes } from "./exit.ts";
import { guardOutput } from "./output.ts";

/** In the order of the help text. Each module only registers; what is heavy is imported by its action. */
const commands: readonly ((program: Command, library: typeof nodeLibrary) => void)[] = [
  init.register,
  check.register,
  plan.register,
  run.register,
  watch.register,
  replay.register,
  show.register,
  explain.register,
  log.register,
  metrics.register,
  nodes.register,
  schema.register,
  tag.register,
  cache.register,
  backend.register,
  doctor.register,
];

/** Older Node lacks what the program's packages are built on; it would fail somewhere in the middle of a command. */
const oldestNode = 22;

async function main(): Promise<void> {
  guardOutput();
  if (Number.parseInt(process.versions.node) < oldestNode) {
    process.stderr.write(
      `ranflow: Node ${process.versions.node} is too old, it takes ${oldestNode} or later\n` +
        "  `npx ranflow` in the project's folder runs it with the Node that `npm ci` installed there\n",
    );
    process.exitCode = exitCodes.wrongInput;
    return;
  }
  keepCompiledCode();
  process.on("uncaughtException", internalError);
  process.on("unhandledRejection", internalError);
  const program = new Command("ranflow")
    .description(
      "A declarative experiment-graph engine: runs the steps of a YAML pipeline that are not in the store yet.",
    )
    .version(ranflowVersion())
    .exitOverride()
    .showHelpAfterError("(add --help for the options)");
  for (const register of commands) register(program, nodeLibrary);
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
