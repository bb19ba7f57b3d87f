import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Port, RunContext } from "../../engine/sdk.ts";
import type { TableParams } from "../report-table.ts";
import { readTable } from "../records.ts";
import { compared } from "./compare.ts";
import { pivot } from "./pivot.ts";
import { readRows } from "./rows.ts";
import { csvTable, jsonTable, latexTable, markdownTable, type TableStyle } from "./table-text.ts";

type Context = RunContext<
  TableParams,
  {
    readonly rows: Port & { readonly many: true };
    readonly table: Port & { readonly optional: true };
    readonly reference: Port & { readonly optional: true };
  },
  { readonly report: Port }
>;

/** The work of `report.table`. */
export async function writeTableReport({ params, inputs, outputs }: Context): Promise<void> {
  const records = await readRows(inputs);
  const measured = pivot(records, {
    rows: params.rows,
    columns: params.columns,
    values: typeof params.value === "string" ? [params.value] : params.value,
    aggregate: params.aggregate,
  });
  const table = inputs.reference
    ? compared(
        measured,
        (await readTable(inputs.reference.path)).map((fields) => ({ at: {}, fields })),
        params.across,
      )
    : measured;
  const { percent, best, bestAmong, names, title } = params;
  const digits = params.digits ?? (percent ? 1 : 3);
  const style: TableStyle = { title, format: { digits, percent }, best, bestAmong, names };
  const write = (name: string, text: string): Promise<void> =>
    writeFile(join(outputs.report.path, name), text);
  await write("table.md", markdownTable(table, style));
  await write("table.csv", csvTable(table));
  await write("table.tex", latexTable(table, style));
  await write("table.json", jsonTable(table, style));
}
