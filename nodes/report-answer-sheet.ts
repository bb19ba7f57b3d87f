import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";

const params = z.object({
  count: z.int().min(1).max(100).default(4).meta({ description: "images to show: the first answered ones" }),
  ids: z.array(z.string()).default([]).meta({ description: "show these images in place of the first" }),
  prompt: z.string().default("").meta({ description: "what was asked, to show above; empty for none" }),
  cell: z
    .int()
    .min(48)
    .max(2000)
    .default(200)
    .meta({ unit: "px", description: "width of an image on the sheet" }),
  title: z.string().default("").meta({ description: "title of the sheet" }),
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
