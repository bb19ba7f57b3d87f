import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";

const params = z.object({
  count: z
    .int()
    .min(1)
    .max(100)
    .default(4)
    .meta({ description: "images to show: the first ones that have a finding" }),
  ids: z.array(z.string()).default([]).meta({ description: "show these images in place of the first" }),
  cell: z
    .int()
    .min(48)
    .max(2000)
    .default(300)
    .meta({ unit: "px", description: "width and height of the place that an image fills" }),
  title: z.string().default("").meta({ description: "title of the sheet" }),
});

export type LabelSheetParams = z.output<typeof params>;

/** `report.label-sheet`: images of a dataset with what they are labelled (Figure 8). */
export const reportLabelSheet = defineNode({
  type: "report.label-sheet",
  version: 1,
  summary: "Shows labelled images: each whole, beside its labels, present, absent or unknown",
  details: "`figure.json` has dataset, split, and the labels of each image.",
  inputs: { images: port("images") },
  outputs: { report: port("report", { description: "figure.png, figure.svg, figure.json" }) },
  params,
  async run(context) {
    const { writeLabelSheet } = await import("./report/label-sheet.ts");
    await writeLabelSheet(context);
  },
});
