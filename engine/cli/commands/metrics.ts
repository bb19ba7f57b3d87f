import type { Command } from "commander";
import type { Store } from "../../../cache/types.ts";
import type { ArtifactRef } from "../../model/artifact.ts";
import type { StepId } from "../../model/ids.ts";
import type { Scalar } from "../../model/json.ts";
import { columns as aligned } from "../../report/columns.ts";
import { csvText } from "../../report/csv.ts";
import { axisColumn, metricsRow } from "../../run/metrics-row.ts";
import type { MetricsRow } from "../../run/metrics-row.ts";
import { collect, profileOption } from "../inspect.ts";
import { partOrExit, selectorHelp } from "../selection.ts";

interface MetricsOptions {
  readonly set: readonly string[];
  readonly profile: readonly string[];
  readonly axes: readonly string[];
  readonly store?: string;
}

type PrintOptions = MetricsOptions & { readonly csv?: boolean; readonly json?: boolean };

/** What every measured step has, with the columns in the order a person reads them: step, axes, measured fields. */
interface MetricsTable {
  readonly columns: readonly string[];
  readonly rows: readonly MetricsRow[];
}

/** `ranflow metrics PIPELINE`: every measured value of every step that has a result. */
export function register(program: Command): void {
  program
    .command("metrics")
    .summary("print the metrics of every step as a table, CSV or JSON")
    .description(
      `Prints what steps measured: all of them, or those that are named. ${selectorHelp}\n\n` +
        "Each row begins with the step and its labels. Of what was measured, a field called like one of these columns, " +
        "`step` for instance, is `measured.step`; an axis called `step` or `result` is `axis.step`.",
    )
    .argument("<pipeline>", "the pipeline's YAML file")
    .argument("[step...]", "the steps: all unless some are named")
    .option("--set <input=value>", "replace an input, as for run", collect, [])
    .option(...profileOption)
    .option("--axes <part>", "of a part of the grid, for instance gamma=0,20; may be repeated", collect, [])
    .option("--store <dir>", "the store to look in")
    .option("--csv", "print CSV")
    .option("--json", "print JSON")
    .action(async (path: string, steps: string[], options: PrintOptions) => {
      const table = await metricsTable(path, steps, options);
      if (options.json) console.log(JSON.stringify(table.rows, undefined, 2));
      else if (options.csv) process.stdout.write(csvText(table.columns, table.rows));
      else if (table.rows.length === 0)
        console.error("No step of this pipeline has metrics in the store yet. Run it first.");
      else console.log(toText(table));
    });
}

/**
 * One row per step and metrics port. `result` is `current` where the store has the step as the pipeline now reads, and
 * `previous` where its last result is shown: the step would run again, or its data is not yet scanned.
 */
async function metricsTable(
  path: string,
  steps: readonly string[],
  options: MetricsOptions,
): Promise<MetricsTable> {
  const { openPipeline, openStoreOrExit } = await import("../context.ts");
  const { createPlanner } = await import("../../plan/planner.ts");
  const { readMeasured } = await import("../../run/measured.ts");
  const { grid: whole } = await openPipeline(path, { set: options.set, profile: options.profile });
  const { grid, selected } = await partOrExit(whole, { steps, axes: options.axes });
  const store = await openStoreOrExit({
    ...(options.store !== undefined && { store: options.store }),
    readOnly: true,
  });
  const planner = createPlanner({ grid, store });
  await planner.start();
  const axes = Object.keys(grid.axes);
  const rows: MetricsRow[] = [];
  for (const step of selected.flatMap((index) => grid.steps[index] ?? [])) {
    const current = planner.outputs(step.index);
    const outputs = current ?? lastOutputs(store, grid.pipeline, step.id);
    for (const [port, declared] of Object.entries(step.nodeType.outputs)) {
      const artifact = declared.type === "metrics" ? outputs?.[port] : undefined;
      if (!artifact || !store.objects.has(artifact.digest)) continue;
      const measured = await readMeasured(store.objects.path(artifact.digest));
      const of = { step: step.id, result: current ? "current" : "previous" } as const;
      rows.push(metricsRow(of, step.point, measured ?? {}, axes));
    }
  }
  const measured = rows.flatMap((row) => Object.keys(row));
  return { columns: [...new Set(["step", "result", ...axes.map(axisColumn), ...measured])], rows };
}

function lastOutputs(
  store: Store,
  pipeline: string,
  step: StepId,
): Readonly<Record<string, ArtifactRef>> | undefined {
  const pointer = store.pointer(pipeline, step);
  return pointer && store.result(pointer.key)?.outputs;
}

/**
 * For people: a table for each node, since nodes measure different things. Fields with a dot in their name are detail
 * (`auc.Edema`), and left to --csv and --json; what all rows of a node have in common is said once above them.
 */
function toText({ columns, rows }: MetricsTable): string {
  const nodes = Map.groupBy(rows, ({ step }) => String(step).replace(/\[.*$/s, ""));
  return [...nodes].map(([node, of]) => nodeText(node, columns, of)).join("\n\n");
}

function nodeText(node: string, all: readonly string[], rows: readonly MetricsRow[]): string {
  const columns = all.filter(
    (column) => column !== "step" && !isDetail(column) && rows.some((row) => cell(row[column]) !== ""),
  );
  const varies = (column: string): boolean =>
    rows.length > 1 && rows.some((row) => cell(row[column]) !== cell(rows[0]?.[column]));
  const common = columns.filter((column) => !varies(column) && !(column === "result"));
  const previous = rows.filter(({ result }) => result === "previous").length;
  const lines = [
    `${node}${rows.length > 1 ? ` (${rows.length} steps)` : ""}` +
      (previous === rows.length && previous > 0
        ? "  last results: it would run again, or its data is not yet scanned"
        : ""),
    ...wrapped(common.map((column) => `${column} ${cell(rows[0]?.[column])}`)),
  ];
  const shown = columns.filter(varies);
  if (shown.length === 0) return lines.join("\n");
  const table = [shown, ...rows.map((row) => shown.map((column) => cell(row[column])))];
  const isNumber = shown.map((column) => rows.every((row) => typeof row[column] !== "string"));
  return [...lines, ...aligned(table, isNumber).map((line) => `  ${line}`)].join("\n");
}

/** Has a dot in its own name, apart from what tells it from a column of ours. */
function isDetail(column: string): boolean {
  return column.replace(/^(?:axis|measured)\./, "").includes(".");
}

/** Facts joined into lines of at most 100 characters or so. */
function wrapped(facts: readonly string[]): readonly string[] {
  const lines: string[] = [];
  for (const fact of facts) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + fact.length < 98) lines[lines.length - 1] = `${last}, ${fact}`;
    else lines.push(`  ${fact}`);
  }
  return lines;
}

function cell(value: Scalar | undefined): string {
  if (value === null || value === undefined) return "";
  return typeof value === "number" && !Number.isInteger(value) ? value.toFixed(4) : String(value);
}
