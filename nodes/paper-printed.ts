import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { printedRows } from "./paper/printed-rows.ts";
import { printedTables, type PrintedTable } from "./paper/tables.ts";

const params = z.object({
  table: z.int().min(1).max(10).meta({ description: "number of the table in the paper" }),
});

export const paperPrinted = defineNode({
  type: "paper.printed",
  version: 2,
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
