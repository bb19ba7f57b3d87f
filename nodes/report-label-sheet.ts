import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { sheetParams } from "./report/sheet-params.ts";

const params = z.object(
  sheetParams({
    count: [4],
    first: "images to show: the first ones that have a finding",
    cell: [300, "width and height of the place that an image fills"],
  }),
);

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
