import type { Command } from "commander";
import { plural } from "../../report/format.ts";
import { collect, profileOption } from "../inspect.ts";

interface CheckOptions {
  readonly set: readonly string[];
  readonly profile: readonly string[];
  readonly json?: boolean;
}

/** `ranflow check PIPELINE`: everything that is wrong with a pipeline, before anything runs. */
export function register(program: Command): void {
  program
    .command("check")
    .summary("report everything that is wrong with a pipeline")
    .description(
      "Checks the file, its parameters, ports, axes and grid, and reports all mistakes at once. Runs no step; plugins " +
        "are loaded, which runs their code.",
    )
    .argument("<pipeline>", "the pipeline's YAML file")
    .option("--set <input=value>", "replace an input", collect, [])
    .option(...profileOption)
    .option("--json", "print JSON")
    .action(async (path: string, options: CheckOptions) => {
      const { openPipeline } = await import("../context.ts");
      const { grid, warnings } = await openPipeline(path, {
        set: options.set,
        profile: options.profile,
        json: options.json === true,
      });
      const summary = { pipeline: grid.pipeline, nodes: grid.nodes.length, steps: grid.steps.length };
      console.log(
        options.json
          ? JSON.stringify({ ...summary, problems: [] })
          : `${path}: no ${warnings.length > 0 ? "errors" : "problems"}. ${plural(summary.nodes, "node")}, ${plural(summary.steps, "step")}.`,
      );
    });
}
