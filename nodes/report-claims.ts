import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";

const params = z.object({
  title: z.string().default("").meta({ description: "caption of the table of verdicts" }),
});

export const reportClaims = defineNode({
  type: "report.claims",
  version: 1,
  summary: "Holds the RAN paper's eleven claims against measured numbers: holds, does not hold, not measured",
  details: [
    "A claim is a set of comparisons on the paper's grid (noise image and caption at 0, 5, 10, 20 and 30 %; ChestX-ray14",
    "and SLAKE in domain, CheXpert and VQA-RAD out of it). It holds where all of its comparisons that were measured hold,",
    "does not hold where one fails, and is not measured where there is none; how many were measured stands beside it, and",
    "so does what comes of the claim on the paper's own printed numbers.",
    "",
    "Records are told by their coordinates and fields: `gamma`, `head` (probe, mlp, ran, nmtune), `dataset` and `noise`",
    "(image, caption, random; image where it is missing), with their headline metric, or `value` as in paper.printed; for",
    "attacks `model` and `image` or `caption` (clean, adversarial). Others take no part. Equal places count with their mean.",
  ].join("\n"),
  inputs: {
    rows: port("metrics", { many: true, optional: true, description: "collected metrics" }),
    tables: port("table", {
      many: true,
      optional: true,
      description: "tables whose rows are records, for instance of paper.printed",
    }),
  },
  outputs: {
    report: port("report", { description: "claims.md, claims.tex, claims.json with every comparison" }),
    table: port("table", {
      description:
        "claim, statement, verdict, comparisons that hold, are measured, and there are; verdict in print",
    }),
  },
  params,
  async run(context) {
    const { writeClaims } = await import("./report/claims.ts");
    await writeClaims(context);
  },
});
