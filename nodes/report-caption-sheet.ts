import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { defaultTemplate } from "./captions/prompt.ts";
import { sheetParams } from "./report/sheet-params.ts";

const { count, ids, title } = sheetParams({
  count: [6, 1000],
  first: "captions to show: the first that were changed",
  ids: "show these in place of the first",
});

const params = z.object({
  count,
  ids,
  prompt: z.string().default(defaultTemplate).meta({
    description: "the prompt to show above the captions: the `template` of the attack; empty for none",
  }),
  title,
});

export type CaptionSheetParams = z.output<typeof params>;

/** `report.caption-sheet`: what an attack on captions did, word by word (Figure 3). */
export const reportCaptionSheet = defineNode({
  type: "report.caption-sheet",
  version: 1,
  summary: "Shows rewritten captions before and after, with the changed words marked, below the prompt",
  details: [
    "Words are marked along a shortest way from the clean caption to the rewritten one, the way that the word-modification ratio",
    "counts: struck out before, bold and underlined after, so that they can be told without colour. `sheet.md` holds the same as",
    "Markdown, `figure.json` with a mark on each word.",
  ].join("\n"),
  inputs: { report: port("table", { description: "the output `report` of attack.caption-llm" }) },
  outputs: { report: port("report", { description: "sheet.md, figure.svg, figure.png, figure.json" }) },
  params,
  async run(context) {
    const { writeCaptionSheet } = await import("./report/caption-sheet.ts");
    await writeCaptionSheet(context);
  },
});
