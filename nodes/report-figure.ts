import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { aggregates } from "./report/aggregates.ts";

const params = z.object({
  kind: z
    .enum(["bars-grouped", "bars-stacked", "lines"])
    .default("lines")
    .meta({ description: "kind of figure" }),
  x: z.string().meta({ description: "axis or field along the horizontal axis" }),
  y: z.string().default("headline").meta({
    description: "field to show; `headline` is what each record names as its headline",
  }),
  series: z.string().optional().meta({ description: "axis or field told apart by colour" }),
  facet: z.array(z.string()).max(2).default([]).meta({
    description: "axes or fields of panels: one for columns, two for rows and columns",
  }),
  stack: z.enum(["gain", "sum"]).default("gain").meta({
    description:
      "bars-stacked: the first series with each further one as its gain over the one before, or all series on top of each other",
    neutral: "gain",
  }),
  aggregate: z.enum(aggregates).default("error").meta({
    description:
      "what to do where several records fall into one place; mean-sd draws one standard deviation, mean-ci the mean's 95 % confidence interval by Student's t",
  }),
  percent: z.boolean().default(false).meta({ description: "show 0.823 as 82.3" }),
  yMin: z
    .number()
    .nullable()
    .default(null)
    .meta({ description: "lowest y shown; give yMax as well", neutral: null }),
  yMax: z
    .number()
    .nullable()
    .default(null)
    .meta({ description: "highest y shown; give yMin as well", neutral: null }),
  yScale: z.enum(["shared", "own"]).default("shared").meta({
    description:
      "one scale of y for all panels, to compare them, or one for each, where they show different things",
    neutral: "shared",
  }),
  names: z.record(z.string(), z.string()).default({}).meta({
    description: "words to show for labels and fields, for instance { ran: RAN }",
  }),
  title: z.string().default("").meta({ description: "title of the figure" }),
  width: z.int().min(40).max(4000).default(240).meta({ unit: "px", description: "width of a panel" }),
  height: z.int().min(40).max(4000).default(200).meta({ unit: "px", description: "height of a panel" }),
});

export type FigureParams = z.output<typeof params>;

export const reportFigure = defineNode({
  type: "report.figure",
  version: 1,
  summary: "Draws metrics as lines or bars: SVG, PNG and the Vega-Lite specification with its data",
  details: [
    "Axes of the grid and fields of the records are named alike, as in `report.table`. Lines over an axis whose labels",
    "are numbers have a scale; other labels come in the order of their axis. Bars start at zero unless yMin says",
    "otherwise. With `stack: gain` and series [mlp, ran], the lower bar is mlp and the upper one ran − mlp; where ran is",
    "lower, the difference is drawn downwards in a colour of its own.",
  ].join("\n"),
  inputs: {
    rows: port("metrics", { many: true, optional: true, description: "collected metrics" }),
    table: port("table", { optional: true, description: "a table whose rows are records" }),
  },
  outputs: { report: port("report", { description: "figure.svg, figure.png, figure.json" }) },
  params,
  check: ({ kind, x, series, facet, stack, yMin, yMax, yScale }) => {
    const names = [x, ...(series === undefined ? [] : [series]), ...facet];
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) return `${twice} is named twice in x, series and facet`;
    if (kind === "bars-stacked" && series === undefined) return "bars-stacked needs series: what is stacked";
    if (kind !== "bars-stacked" && stack !== "gain") return `stack is for bars-stacked, not for ${kind}`;
    if ((yMin === null) !== (yMax === null)) return "yMin and yMax go together";
    if (yScale === "own" && facet.length === 0) return "yScale own needs facet: there is one panel alone";
    if (yScale === "own" && yMin !== null)
      return "yMin and yMax are for all panels: leave them out with yScale own";
    if (yMin !== null && yMax !== null && yMin >= yMax) return `yMin ${yMin} is not below yMax ${yMax}`;
    return undefined;
  },
  async run(context) {
    const { writeFigureReport } = await import("./report/figure.ts");
    await writeFigureReport(context);
  },
});
