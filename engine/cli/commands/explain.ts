import type { Command } from "commander";
import { inspectCommand, inspectStep, type InspectOptions } from "../inspect.ts";

/** `ranflow explain [PIPELINE] STEP`: why a step would run, or would not. */
export function register(program: Command): void {
  inspectCommand(program, "explain")
    .summary("say why a step runs or is cached, field by field")
    .description(
      "Compares the step's fingerprint with the one its last result was made from, and names each field that differs, " +
        "with the old and the new value, down to the upstream change that caused it. Of a hit it says which run made " +
        "the result, and what changed then; `ranflow diff` compares whole runs.",
    )
    .option("--scan", "hash the external data that the step depends on now, so that it does not stay unknown")
    .action(async (args: string[], options: InspectOptions) => {
      const { grid, store, planner, step } = await inspectStep(args, options);
      const { explainStep, formatExplanation } = await import("../../plan/explain.ts");
      const explanation = explainStep(planner, store, grid.pipeline, step.index);
      console.log(options.json ? JSON.stringify(explanation, undefined, 2) : formatExplanation(explanation));
    });
}
