import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { bootstrapParams } from "./metrics/bootstrap.ts";

const params = z.object({
  labelMap: z
    .enum(["auto", "identity", "shared", "extended"])
    .default("auto")
    .meta({
      description:
        "labels compared: the same lists, those that mean the same finding, or with weak counterparts " +
        "(Mass and Nodule for Lung Lesion); auto takes identity where the lists are equal, else shared",
    }),
  noFinding: z.boolean().default(false).meta({
    description: "also compare No Finding: the head's own output, or 1 - its largest probability",
    neutral: false,
  }),
  headline: z.enum(["auc", "acc"]).default("auc").meta({ description: "the metric that tables show" }),
  ...bootstrapParams(0),
});

export type EvaluationParams = z.output<typeof params>;

export const evaluateClassification = defineNode({
  type: "evaluate.classification",
  version: 2,
  summary: "Measures a head on features: AUC and accuracy per label and their means, in or out of domain",
  details: [
    "AUC is the rank statistic with ties counting one half; labels with one class are left out of the mean and",
    "counted in `excluded`. Accuracy is at the head's thresholds, a score equal to one counting as positive, and is",
    "averaged over all labels. The domain is `id` where the features come from the dataset that the head was trained",
    "on, else `ood`; there, labels are compared that mean the same finding: between ChestX-ray14 and CheXpert",
    "Atelectasis, Cardiomegaly, Consolidation, Edema, Effusion, Pneumonia and Pneumothorax. `bootstrap` adds intervals of",
    "both means, over samples drawn with replacement (percentiles): aucLow, aucHigh, accLow, accHigh.",
  ].join("\n"),
  inputs: { head: port("head"), features: port("features") },
  outputs: {
    metrics: port("metrics", {
      description: "dataset, split, domain, headline, auc, acc, both per label, counts",
    }),
    predictions: port("table", { description: "one row per sample: probability and label of each label" }),
  },
  params,
  seeded: ({ bootstrap }) => bootstrap > 0,
  growth: { time: ({ bytes }) => bytes("features") },
  async run(context) {
    const { runEvaluation } = await import("./metrics/evaluate.ts");
    await runEvaluation(context);
  },
});
