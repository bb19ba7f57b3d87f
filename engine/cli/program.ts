import { Command } from "commander";
import { ranflowVersion } from "../../cache/version.ts";
import * as backend from "./commands/backend.ts";
import * as cache from "./commands/cache.ts";
import * as check from "./commands/check.ts";
import * as diff from "./commands/diff.ts";
import * as doctor from "./commands/doctor.ts";
import * as explain from "./commands/explain.ts";
import * as exportRun from "./commands/export.ts";
import * as init from "./commands/init.ts";
import * as log from "./commands/log.ts";
import * as metrics from "./commands/metrics.ts";
import * as model from "./commands/model.ts";
import * as nodes from "./commands/nodes.ts";
import * as plan from "./commands/plan.ts";
import * as replay from "./commands/replay.ts";
import * as run from "./commands/run.ts";
import * as schema from "./commands/schema.ts";
import * as show from "./commands/show.ts";
import * as tag from "./commands/tag.ts";
import * as trace from "./commands/trace.ts";
import * as watch from "./commands/watch.ts";
import { nodeLibrary } from "./context.ts";

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
  diff.register,
  trace.register,
  log.register,
  metrics.register,
  nodes.register,
  schema.register,
  tag.register,
  exportRun.register,
  cache.register,
  model.register,
  backend.register,
  doctor.register,
];

/** The command line. What is wrong with it is thrown, a `CommanderError` or an `Exit`. */
export function createProgram(): Command {
  const program = new Command("ranflow")
    .description(
      "A declarative experiment-graph engine: runs the steps of a YAML pipeline that are not in the store yet.",
    )
    .version(ranflowVersion())
    .exitOverride()
    .showHelpAfterError("(add --help for the options)");
  for (const register of commands) register(program, nodeLibrary);
  return program;
}
