import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { executorNames } from "../../model/slurm.ts";
import type { ExecutorName } from "../../model/slurm.ts";
import { collect, profileOption } from "../inspect.ts";
import { collectOptional, namedPart, selectorHelp } from "../selection.ts";
import type { OptionalValues } from "../selection.ts";
import { wholeNumber } from "../whole-number.ts";

/** Options of `ranflow run`, as commander parses them. */
export interface RunCommandOptions {
  readonly set: readonly string[];
  readonly profile: readonly string[];
  readonly store?: string;
  readonly index?: string;
  readonly remote?: string;
  readonly backend?: string;
  readonly threads?: number;
  readonly executor?: ExecutorName;
  readonly sbatch: readonly string[];
  readonly slots?: string;
  readonly keepGoing?: boolean;
  /** `gamma=0,20` texts. */
  readonly axes: readonly string[];
  /** Selectors, or true for everything that is selected. */
  readonly force?: OptionalValues;
  readonly ui?: "ink" | "plain" | "json";
  readonly checkpointMinutes: number;
}

/** `ranflow run PIPELINE`: executes what is not in the store yet. */
export function register(program: Command): void {
  program
    .command("run")
    .summary("run a pipeline: what the store has is not run again")
    .description(
      "Expands the grid, plans it against the store, and executes what is missing or changed.\n\n" +
        `With STEPs, only these run, and of what they need what the store does not have. ${selectorHelp}\n\n` +
        "Ctrl-C once starts nothing new and lets steps save a checkpoint; twice stops at once.\n" +
        "Exit codes: 0 done, 1 a step failed, 2 the input is wrong, 130 interrupted.",
    )
    .usage("[options] <pipeline> [step...]")
    .argument("[arguments...]", "the pipeline's YAML file, and the steps to run: all unless some are named")
    .option("--set <input=value>", "replace an input, for instance --set inputs.epochs=30", collect, [])
    .option(...profileOption)
    .option("--store <dir>", "the store to use (default: RANFLOW_STORE, else the nearest .ranflow)")
    .option(
      "--index <dir>",
      "put the index of a new store here, on a disk of this machine: for stores in a folder that a cluster shares",
    )
    .option(
      "--remote <dir>",
      "a folder through which people share results: look there too, and copy there what is made (default: RANFLOW_REMOTE)",
    )
    .option(
      "--backend <name>",
      "compute backend: auto, tensorflow, wasm or cpu (default: RANFLOW_BACKEND, else auto)",
    )
    .option("--threads <n>", "compute threads per step (default: the step's cpu slots)", wholeNumber)
    .addOption(
      new Option(
        "--executor <name>",
        "where steps run whose nodes do not say (default: the pipeline's `executor`, else local)",
      ).choices(executorNames),
    )
    .option(
      "--sbatch <option>",
      "give all steps an option of sbatch, for instance --sbatch=--partition=gpu; may be repeated",
      collect,
      [],
    )
    .option(
      "--slots <list>",
      "what may be used at once, for instance cpu=2,gpu=1,memory=8GB; slurm=200: steps in a cluster's queue",
    )
    .option("--keep-going", "after a failure, go on with what does not depend on it")
    .option(
      "--axes <part>",
      "run a part of the grid, for instance gamma=0,20 or 'gamma=0;head=r*'; may be repeated",
      collect,
      [],
    )
    .option(
      "--force [step]",
      "run in spite of a result in the store: everything selected, or these steps; may be repeated",
      collectOptional,
    )
    .addOption(
      new Option("--ui <kind>", "how the run is shown (default: ink on a terminal, else plain)").choices([
        "ink",
        "plain",
        "json",
      ]),
    )
    .option("--checkpoint-minutes <n>", "how often long steps save their state", minutes, 5)
    .action(async (args: string[], options: RunCommandOptions) => {
      const named = namedPart("run", args, { "--force": options.force });
      const { runPipeline } = await import("../run-pipeline.ts");
      process.exitCode = await runPipeline(named, options);
    });
}

function minutes(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new InvalidArgumentError("It is not a number of minutes.");
  return value;
}
