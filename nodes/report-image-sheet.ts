import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { sheetParams } from "./report/sheet-params.ts";

const { cell, count, ids, title } = sheetParams({
  count: [4],
  first: "images to show: the first attacked ones",
});

const params = z.object({
  count,
  ids,
  amplify: z.number().positive().default(10).meta({
    description: "the difference is shown so many times as large, around mid-grey",
  }),
  cell,
  title,
});

export type ImageSheetParams = z.output<typeof params>;

/** `report.image-sheet`: what an attack on images did, image by image (Figure 2). */
export const reportImageSheet = defineNode({
  type: "report.image-sheet",
  version: 1,
  summary: "Shows attacked images: clean, target, amplified difference and adversarial, side by side",
  details: [
    "A row for each image: the clean one as the attack saw it (resized and cropped), its target, 128 + amplify · (adversarial -",
    "clean) per channel, and the adversarial one, with the cosines to the target before and after and the norms of the difference.",
    "`figure.json` has the numbers.",
  ].join("\n"),
  inputs: {
    clean: port("pairs"),
    attacked: port("pairs", { description: "the output `pairs` of attack.image-pgd" }),
    targets: port("pairs", { description: "what the attack drew its targets from" }),
    report: port("table", { description: "the output `report` of attack.image-pgd" }),
  },
  outputs: { report: port("report", { description: "figure.png, figure.svg, figure.json" }) },
  params,
  async run(context) {
    const { writeImageSheet } = await import("./report/image-sheet.ts");
    await writeImageSheet(context);
  },
});
