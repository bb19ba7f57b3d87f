import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Scalar } from "../../model/json.ts";
import { collect } from "../inspect.ts";

type Row = Readonly<Record<string, Scalar>>;

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
        const rows = await metricRows(path, options);
        if (options.json) console.log(JSON.stringify(rows, undefined, 2));
        else if (options.csv) process.stdout.write(toCsv(rows));
        else if (rows.length === 0)
          console.error("No step of this pipeline has metrics in the store yet. Run it first.");
        else console.log(toText(rows));
      },
    );
}

/** One row per step and metrics port: step id, axes, then what was measured. */
async function metricRows(
  path: string,
  options: { set: readonly string[]; store?: string },
): Promise<readonly Row[]> {
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
    const outputs = planner.outputs(step.index) ?? lastOutputs(store, grid.pipeline, step.id);
    for (const [port, declared] of Object.entries(step.nodeType.outputs)) {
      const artifact = declared.type === "metrics" ? outputs?.[port] : undefined;
      if (!artifact || !store.objects.has(artifact.digest)) continue;
      const values: Row = JSON.parse(await readFile(store.objects.path(artifact.digest), "utf8"));
      rows.push({ step: step.id, ...step.point, ...values });
    }
  }
  await store.close();
  return rows;
}

/** A step behind a dataset that was not scanned has no key yet; its last result is the one to show. */
function lastOutputs(
  store: import("../../../cache/types.ts").Store,
  pipeline: string,
  step: import("../../model/ids.ts").StepId,
): ReturnType<import("../../plan/types.ts").Planner["outputs"]> {
  const pointer = store.pointer(pipeline, step);
  return pointer && store.result(pointer.key)?.outputs;
}

function columnsOf(rows: readonly Row[]): readonly string[] {
  return [...new Set(rows.flatMap((row) => Object.keys(row)))];
}

function toCsv(rows: readonly Row[]): string {
  const columns = columnsOf(rows);
  const quote = (value: Scalar | undefined): string => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((column) => row[column]))]
    .map((cells) => `${cells.map(quote).join(",")}\n`)
    .join("");
}

function toText(rows: readonly Row[]): string {
  const columns = columnsOf(rows);
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
