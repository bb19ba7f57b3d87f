import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { printedTables, type PrintedTable } from "./paper/tables.ts";
import type { TableRow } from "./records.ts";

const params = z.object({
  table: z.int().min(1).max(10).meta({ description: "number of the table in the paper" }),
});

export const paperPrinted = defineNode({
  type: "paper.printed",
  version: 1,
  summary: "The numbers that the RAN paper prints in one of its tables, to stand beside measured ones",
  details:
    "One row per number: the fields that tell rows and columns apart, named and spelt as in ranflow's pipelines " +
    "(`noise`, `gamma`, `head`, `dataset`, `model`, ...), and `value`. Percentages are ratios, 0.803 for 80.3.",
  inputs: {},
  outputs: { table: port("table") },
  params,
  async run({ log, outputs, params }) {
    const { writeTable } = await import("./records.ts");
    const printed = (printedTables as Readonly<Record<number, PrintedTable>>)[params.table]!;
    const rows = printedRows(printed);
    await writeTable(outputs.table.path, rows);
    log(`table ${params.table} of the paper, ${printed.caption}: ${rows.length} numbers`);
  },
});

/** One row per printed number; what is not printed has none. */
export function printedRows({ across, columns, keys, rows, unit }: PrintedTable): readonly TableRow[] {
  return rows.flatMap((row) =>
    columns.flatMap((column, index): TableRow[] => {
      const number = row[keys.length + index];
      if (typeof number !== "number") return [];
      const place = Object.fromEntries(keys.map((key, i) => [key, row[i] ?? null]));
      // Printed to one decimal of a percent: a tenth of that keeps rounding out of the ratio.
      const value = unit === "percent" ? Math.round(number * 10) / 1000 : number;
      return [{ ...place, [across]: column, value }];
    }),
  );
}
