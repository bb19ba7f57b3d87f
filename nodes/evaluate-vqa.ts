import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { bootstrapParams } from "./metrics/bootstrap.ts";

const params = z.object({
  closedOnly: z.boolean().default(true).meta({ description: "ask closed questions alone" }),
  yesNoOnly: z.boolean().default(false).meta({
    description: "ask only what is answered by yes or no",
    neutral: false,
  }),
  unseen: z
    .enum(["drop", "wrong"])
    .default("drop")
    .meta({
      description:
        "what becomes in `acc` of a question whose answer was never learnt: left out, or answered wrong. `accDrop`, " +
        "`accWrong` and `coverage` are there in either case",
    }),
  restrictLogits: z.enum(["none", "shared"]).default("none").meta({
    description: "answers to choose from: all that were learnt, or those that occur among the asked as well",
    neutral: "none",
  }),
  headline: z.enum(["acc", "auc"]).default("acc").meta({ description: "the metric that tables show" }),
  // Not ephemeral: matrix products of another height may differ in their last bits.
  batchSize: z.int().min(1).default(32).meta({ description: "questions answered at once" }),
  ...bootstrapParams(0),
});

export type EvaluateVqaParams = z.output<typeof params>;

export const evaluateVqa = defineNode({
  type: "evaluate.vqa",
  version: 3,
  summary: "Measures how a fusion answers questions: accuracy, coverage and AUC, in or out of domain",
  details: [
    "The answer is the one with the largest score, and right where it is the dataset's after normalisation as in `vqa.train`. In",
    "another dataset some answers were never learnt: `coverage` is the share of questions whose answer was, `accDrop` the accuracy",
    "on those, `accWrong` the accuracy on all. AUC is one answer against the rest, over the questions whose answer was learnt, and",
    "averaged over the answers that occur there and are not the only one. `commonest` is what always giving the commonest of these",
    "answers would reach. The domain is `id` on the dataset of the training questions, else `ood`. `bootstrap` adds intervals of `acc`",
    "and `auc`, over questions drawn with replacement (percentiles): accLow, accHigh, aucLow, aucHigh.",
  ].join("\n"),
  inputs: { model: port("vqa-model"), tokens: port("tokens", { description: "questions to ask" }) },
  outputs: {
    metrics: port("metrics", {
      description: "dataset, split, domain, headline, acc, auc, coverage, and how they came about",
    }),
    predictions: port("table", {
      description: "one row per question: its answer, the given one and its score",
    }),
  },
  params,
  seeded: ({ bootstrap }) => bootstrap > 0,
  growth: { time: ({ bytes }) => bytes("tokens") },
  async run(context) {
    const { runVqaEvaluation } = await import("./vqa/evaluate.ts");
    await runVqaEvaluation(context);
  },
});
