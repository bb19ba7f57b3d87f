import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { aggregates } from "./report/aggregates.ts";

const params = z.object({
  rows: z
    .array(z.string())
    .default([])
    .meta({ description: "axes or fields that tell rows apart, outermost first" }),
  columns: z
    .array(z.string())
    .default([])
    .meta({ description: "axes or fields that tell columns apart, outermost first" }),
  value: z
    .union([z.string(), z.array(z.string()).min(1)])
    .default("headline")
    .meta({
      description:
        "field to show, or several side by side; `headline` is what each record names as its headline",
    }),
  across: z.string().optional().meta({
    description: "with a reference and several values: its field that says which of them a number is",
  }),
  aggregate: z.enum(aggregates).default("error").meta({
    description:
      "what to do where several records fall into one cell; mean-sd adds their standard deviation, mean-ci half the width of the mean's 95 % confidence interval by Student's t",
  }),
  percent: z.boolean().default(false).meta({ description: "show 0.823 as 82.3" }),
  digits: z.int().min(0).max(12).optional().meta({ description: "decimals; default 3, or 1 with percent" }),
  best: z
    .enum(["none", "max", "min"])
    .default("none")
    .meta({ description: "print each column's best value bold" }),
  bestAmong: z.array(z.string()).default([]).meta({
    description:
      "row fields over which the best is sought, for instance [head]; all rows of the column unless given",
  }),
  names: z.record(z.string(), z.string()).default({}).meta({
    description: "words to show for labels and fields, for instance { ran: RAN }",
  }),
  title: z.string().default("").meta({ description: "caption of the table" }),
});

export type TableParams = z.output<typeof params>;

export const reportTable = defineNode({
  type: "report.table",
  version: 1,
  summary: "Arranges metrics in a table: Markdown, CSV, LaTeX and JSON",
  details: [
    "Rows and columns are named by axes of the grid (or `axis.field` of a map-valued axis) and by fields of the",
    "records alike; a name that is both is an error. Labels come in the order of their axis. A cell without a record",
    "shows a dash. CSV and JSON hold the numbers as measured, Markdown and LaTeX as formatted. With `reference`, each",
    "column becomes three: ours, the paper's, and the difference.",
  ].join("\n"),
  inputs: {
    rows: port("metrics", { many: true, optional: true, description: "collected metrics" }),
    table: port("table", { optional: true, description: "a table whose rows are records" }),
    reference: port("table", {
      optional: true,
      description: "numbers to compare with, as paper.printed has them: the table's fields and `value`",
    }),
  },
  outputs: { report: port("report", { description: "table.md, table.csv, table.tex, table.json" }) },
  params,
  check: ({ across, rows, columns, bestAmong, best, value }) => {
    if (across !== undefined && (typeof value === "string" || value.length === 1))
      return "across tells several values apart, and there is one: give more in value";
    const twice = [...rows, ...columns].find((name, i, all) => all.indexOf(name) !== i);
    if (twice !== undefined) return `${twice} is named twice in rows and columns`;
    const stray = bestAmong.find((name) => !rows.includes(name));
    if (stray !== undefined) return `bestAmong ${stray} is not one of rows: ${rows.join(", ")}`;
    if (bestAmong.length > 0 && best === "none") return "bestAmong needs best: max or min";
    return undefined;
  },
  checkInputs: ({ across, value }, bound) =>
    bound.includes("reference") && typeof value !== "string" && value.length > 1 && across === undefined
      ? "a table beside a reference shows one value: give one in `value`, or say with `across` which field of the reference tells values apart"
      : undefined,
  async run(context) {
    const { writeTableReport } = await import("./report/table.ts");
    await writeTableReport(context);
  },
});
