import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { bootstrapParams } from "./metrics/bootstrap.ts";

const prompts = z.array(z.string().includes("{label}")).min(1);

const params = z.object({
  positive: prompts.default(["{label}"]).meta({
    description:
      "what a text says where the finding is there; {label} stands for the label, `_` in it for a space",
  }),
  negative: prompts.default(["No {label}"]).meta({ description: "and where it is not" }),
  lowerNegative: z
    .boolean()
    .default(true)
    .meta({ description: "write the label in lower case in `negative`, as in `No cardiomegaly`" }),
  noFinding: z.boolean().default(false).meta({
    description: "also score the label No Finding, against the text `Finding`",
    neutral: false,
  }),
  headline: z.enum(["auc", "acc"]).default("auc").meta({ description: "the metric that tables show" }),
  batchSize: z.int().min(1).default(32).meta({ description: "texts encoded at once" }),
  ...bootstrapParams(0),
});

export type ZeroShotParams = z.output<typeof params>;

export const evaluateZeroShot = defineNode({
  type: "evaluate.zero-shot",
  version: 3,
  summary:
    "Classifies images without training: by whether they are nearer to a finding's text or to its negation",
  details: [
    "For each label the cosines of the image with the positive and the negative text; their softmax is the score, so that",
    "AUC is over cos+ - cos- (CXR-CLIP, CheXzero). An image counts as positive where cos+ is the larger. Several texts",
    "are averaged after normalisation. AUC and accuracy per label, their means and intervals are as in `evaluate.classification`.",
  ].join("\n"),
  inputs: {
    model: port("clip-model"),
    features: port("features", { description: "projected features of the same model's image tower" }),
  },
  outputs: {
    metrics: port("metrics", {
      description: "dataset, split, domain, headline, auc, acc, both per label, counts",
    }),
    predictions: port("table", { description: "one row per image: score and label of each label" }),
  },
  params,
  seeded: ({ bootstrap }) => bootstrap > 0,
  growth: { time: ({ bytes }) => bytes("features") },
  async run(context) {
    const { runZeroShot } = await import("./metrics/zero-shot.ts");
    await runZeroShot(context);
  },
});
