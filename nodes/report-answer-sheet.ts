import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { sheetParams } from "./report/sheet-params.ts";

const { cell, count, ids, title } = sheetParams({
  count: [4],
  first: "images to show: the first answered ones",
});

const params = z.object({
  count,
  ids,
  prompt: z.string().default("").meta({ description: "what was asked, to show above; empty for none" }),
  cell,
  title,
});

export type AnswerSheetParams = z.output<typeof params>;

/** `report.answer-sheet`: what a model says about images before and after an attack (Figure 5). */
export const reportAnswerSheet = defineNode({
  type: "report.answer-sheet",
  version: 1,
  summary:
    "Shows what a model says about clean and adversarial images, beside the caption of the attack's target",
  details: [
    "A row for each image that has both answers: the clean and the adversarial image, and to the right of them the answers, with the",
    "words that differ marked, and the caption of the target. Images without an answer are left out; where none is left, the sheet says so.",
    "`figure.json` has the texts.",
  ].join("\n"),
  inputs: {
    clean: port("pairs", { description: "clean images with the model's answers: `pairs` of external.vlm" }),
    adversarial: port("pairs", { description: "the same of the adversarial images" }),
    targets: port("pairs", { description: "what the attack drew its targets from" }),
    report: port("table", { description: "the output `report` of attack.image-pgd" }),
  },
  outputs: { report: port("report", { description: "figure.png, figure.svg, figure.json" }) },
  params,
  async run(context) {
    const { writeAnswerSheet } = await import("./report/answer-sheet.ts");
    await writeAnswerSheet(context);
  },
});
