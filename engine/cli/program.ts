import { Command, Help } from "commander";
import type { Option } from "commander";
import { ranflowVersion } from "../../cache/version.ts";
import { nodeLibrary } from "./context.ts";

interface CommandModule {
  register(program: Command, library: typeof nodeLibrary): void;
}

/** In the order of the help text. Each module only registers; what is heavy is imported by its action. */
const commands: Readonly<Record<string, () => Promise<CommandModule>>> = {
  init: () => import("./commands/init.ts"),
  check: () => import("./commands/check.ts"),
  plan: () => import("./commands/plan.ts"),
  run: () => import("./commands/run.ts"),
  runs: () => import("./commands/runs.ts"),
  watch: () => import("./commands/watch.ts"),
  replay: () => import("./commands/replay.ts"),
  show: () => import("./commands/show.ts"),
  explain: () => import("./commands/explain.ts"),
  diff: () => import("./commands/diff.ts"),
  trace: () => import("./commands/trace.ts"),
  log: () => import("./commands/log.ts"),
  metrics: () => import("./commands/metrics.ts"),
  nodes: () => import("./commands/nodes.ts"),
  schema: () => import("./commands/schema.ts"),
  tag: () => import("./commands/tag.ts"),
  report: () => import("./commands/report.ts"),
  export: () => import("./commands/export.ts"),
  cache: () => import("./commands/cache.ts"),
  model: () => import("./commands/model.ts"),
  backend: () => import("./commands/backend.ts"),
  doctor: () => import("./commands/doctor.ts"),
};

/**
 * The command line with the command of this name alone, or with all of them for whatever is none, as the help and a
 * misspelt name are. What is wrong with it is thrown, a `CommanderError` or an `Exit`.
 */
export async function createProgram(name = ""): Promise<Command> {
  const program = new Command("ranflow")
    .description(
      "A declarative experiment-graph engine: runs the steps of a YAML pipeline that are not in the store yet.",
    )
    .version(ranflowVersion())
    .exitOverride()
    .showHelpAfterError("(add --help for the options)")
    .configureHelp({ optionDescription, subcommandTerm });
  const named = Object.hasOwn(commands, name) ? commands[name] : undefined;
  const modules = await Promise.all((named ? [named] : Object.values(commands)).map((load) => load()));
  for (const { register } of modules) register(program, nodeLibrary);
  return program;
}

const help = new Help();

/** An option that may be repeated has none until it is given: that needs no saying. */
function optionDescription(option: Option): string {
  return help.optionDescription(option).replace(" (default: [])", "");
}

/** `metrics <pipeline> [step...]`: that there are options goes without saying, and the line has 80 columns. */
function subcommandTerm(command: Command): string {
  return `${command.name()} ${command.usage().replace("[options] ", "").replace("[options]", "")}`.trimEnd();
}
