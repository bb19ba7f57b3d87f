import { executorNames } from "../model/slurm.ts";
import type { ExecutorName, SlurmOptions } from "../model/slurm.ts";
import type { Report } from "./report.ts";
import { readDuration, readText } from "./settings.ts";
import { suggest } from "./similar.ts";
import { readFields } from "./structure.ts";
import { describe, quote } from "./tree.ts";
import type { Tree } from "./tree.ts";

/** Where steps run, as a pipeline leaves it to its nodes and to the pipelines that it imports. */
export interface PlacementDefaults {
  readonly executor: ExecutorName;
  readonly slurm: SlurmOptions;
}

/** What is asked of Slurm by a more particular place over a more general one; further options come after those. */
export function withSlurm(general: SlurmOptions, particular: SlurmOptions | undefined): SlurmOptions {
  const options = [...(general.options ?? []), ...(particular?.options ?? [])];
  return { ...general, ...particular, ...(options.length > 0 && { options }) };
}

/** The fields of `slurm`, in the order in which the reference lists them. */
export const slurmFields = ["partition", "account", "time", "gres", "constraint", "options"] as const;

/** Where steps run; this machine where it is something else. */
export function readExecutor(tree: Tree, report: Report): ExecutorName {
  const name = readText("executor", tree, report);
  const found = executorNames.find((known) => known === name);
  if (found !== undefined || name === "") return found ?? "local";
  report.error("unknown-executor", `there is no executor ${quote(name)}`, tree.range, {
    hint: suggest(name, executorNames, "the executors are"),
  });
  return "local";
}

/** What steps ask of Slurm; what is wrong is in the report. */
export function readSlurm(tree: Tree, report: Report): SlurmOptions {
  if (tree.kind !== "map") {
    report.error("wrong-type", `\`slurm\` is ${describe(tree)}`, tree.range, {
      hint: "it is a map: `{ partition: gpu, time: 12h }`",
    });
    return {};
  }
  const fields = readFields(tree, "`slurm`", slurmFields, report);
  const text = (name: (typeof slurmFields)[number]): { readonly [field: string]: string } => {
    const value = fields.get(name)?.value;
    return value ? { [name]: readText(`slurm.${name}`, value, report) } : {};
  };
  const time = fields.get("time")?.value;
  const options = fields.get("options")?.value;
  return {
    ...text("partition"),
    ...text("account"),
    ...text("gres"),
    ...text("constraint"),
    ...(time && { time: readDuration("slurm.time", time, report) }),
    ...(options && { options: readOptions(options, report) }),
  };
}

/** Options of `sbatch` that ranflow gives itself: with others it would not find its steps again. */
const ownOptions =
  /^--?(a|array|comment|e|error|d|dependency|h|help|i|input|J|job-name|o|output|open-mode|parsable|requeue|signal|test-only|W|wait|wrap)(=|$)/;

function readOptions(tree: Tree, report: Report): readonly string[] {
  const items = tree.kind === "list" ? tree.items : [tree];
  return items.flatMap((item) => {
    const text = readText("slurm.options", item, report);
    if (text === "") return [];
    const isOwn = ownOptions.test(text);
    if (/^--?[A-Za-z]/.test(text) && !isOwn) return [text];
    report.error("wrong-type", `${quote(text)} cannot be an option of \`sbatch\` here`, item.range, {
      hint: isOwn
        ? "ranflow gives this one itself"
        : "write each option as one text that begins with `--`: `options: [--exclusive, --qos=long]`",
    });
    return [];
  });
}
