import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { sheetParams } from "./report/sheet-params.ts";

const { cell, count, ids, title } = sheetParams({
  count: [1],
  first: "images to show: the first ones",
  ids: "show the images that these questions are about in place of the first",
  cell: [320],
});

const params = z.object({
  count,
  ids,
  questions: z.int().min(1).max(100).default(12).meta({ description: "most questions shown of an image" }),
  cell,
  title,
});

export type QuestionSheetParams = z.output<typeof params>;

/** `report.question-sheet`: images with what is asked about them (Figure 9). */
export const reportQuestionSheet = defineNode({
  type: "report.question-sheet",
  version: 1,
  summary: "Shows images with the questions that a dataset asks about them, and their answers",
  details:
    "A row for each image, its questions beside it in the dataset's order; the answers are bold, and closed questions are marked. " +
    "`figure.json` has the texts.",
  inputs: { questions: port("questions") },
  outputs: { report: port("report", { description: "figure.png, figure.svg, figure.json" }) },
  params,
  async run(context) {
    const { writeQuestionSheet } = await import("./report/question-sheet.ts");
    await writeQuestionSheet(context);
  },
});
