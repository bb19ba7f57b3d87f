import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Store } from "../../../cache/types.ts";
import type { ArtifactRef } from "../../model/artifact.ts";
import type { StepId } from "../../model/ids.ts";
import type { Scalar } from "../../model/json.ts";
import { collect } from "../inspect.ts";

type Row = Readonly<Record<string, Scalar>>;

/** What every measured step has, with the columns in the order a person reads them: step, axes, measured fields. */
interface MetricsTable {
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}

/** `ranflow metrics PIPELINE`: every measured value of every step that has a result. */
export function register(program: Command): void {
  program
    .command("metrics")
    .summary("print the metrics of every step as a table, CSV or JSON")
    .argument("<pipeline>", "the pipeline's YAML file")
    .option("--set <input=value>", "replace an input, as for run", collect, [])
    .option("--store <dir>", "the store to look in")
    .option("--csv", "print CSV")
    .option("--json", "print JSON")
    .action(
      async (
        path: string,
        options: { set: readonly string[]; store?: string; csv?: boolean; json?: boolean },
      ) => {
        const table = await metricsTable(path, options);
        if (options.json) console.log(JSON.stringify(table.rows, undefined, 2));
        else if (options.csv) process.stdout.write(toCsv(table));
        else if (table.rows.length === 0)
          console.error("No step of this pipeline has metrics in the store yet. Run it first.");
        else console.log(toText(table));
      },
    );
}

/**
 * One row per step and metrics port. `result` is `current` where the store has the step as the pipeline now reads, and
 * `previous` where its last result is shown: the step would run again, or its data is not yet scanned.
 */
async function metricsTable(
  path: string,
  options: { set: readonly string[]; store?: string },
): Promise<MetricsTable> {
  const { openPipeline, openStoreOrExit } = await import("../context.ts");
  const { createPlanner } = await import("../../plan/planner.ts");
  const { grid } = await openPipeline(path, { set: options.set });
  const store = await openStoreOrExit({
    ...(options.store !== undefined && { store: options.store }),
    readOnly: true,
  });
  const planner = createPlanner({ grid, store });
  await planner.start();
  const rows: Row[] = [];
  for (const step of grid.steps) {
    const current = planner.outputs(step.index);
    const outputs = current ?? lastOutputs(store, grid.pipeline, step.id);
    for (const [port, declared] of Object.entries(step.nodeType.outputs)) {
      const artifact = declared.type === "metrics" ? outputs?.[port] : undefined;
      if (!artifact || !store.objects.has(artifact.digest)) continue;
      const values: Row = JSON.parse(await readFile(store.objects.path(artifact.digest), "utf8"));
      rows.push({ step: step.id, result: current ? "current" : "previous", ...step.point, ...values });
    }
  }
  await store.close();
  const measured = rows.flatMap((row) => Object.keys(row));
  return { columns: [...new Set(["step", "result", ...Object.keys(grid.axes), ...measured])], rows };
}

function lastOutputs(
  store: Store,
  pipeline: string,
  step: StepId,
): Readonly<Record<string, ArtifactRef>> | undefined {
  const pointer = store.pointer(pipeline, step);
  return pointer && store.result(pointer.key)?.outputs;
}

function toCsv({ columns, rows }: MetricsTable): string {
  const quote = (value: Scalar | undefined): string => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((column) => row[column]))]
    .map((cells) => `${cells.map(quote).join(",")}\n`)
    .join("");
}

/** For people: fields with a dot in their name are detail (`auc.Edema`), and left to --csv and --json. */
function toText({ columns: all, rows }: MetricsTable): string {
  const columns = all.filter((column) => !column.includes("."));
  const cell = (value: Scalar | undefined): string =>
    typeof value === "number" && !Number.isInteger(value)
      ? value.toFixed(4)
      : value === undefined
        ? ""
        : String(value);
  const table = [columns, ...rows.map((row) => columns.map((column) => cell(row[column])))];
  const widths = columns.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
  return table
    .map((line) =>
      line
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
