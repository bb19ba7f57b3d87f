import { defineNode, port } from "../engine/sdk.ts";
import { checkHeadParams, headParams, type HeadParams } from "./heads/params.ts";

export const headTrain = defineNode({
  type: "head.train",
  version: 4,
  summary: "Trains a light-weight classification head on frozen features: linear probe, MLP, RAN or NMTune",
  details: [
    "`probe` is Linear(d, K) on the features F. `mlp` puts Z = s * M(F) + F before it, with",
    "M = Linear(d, 4d), batch norm, ReLU, Linear(4d, d). `ran` is the MLP trained with",
    "L = L_CE + alpha (L_MSE + L_COV) + beta L_ADV (Han et al., EMNLP Findings 2024):",
    "L_MSE keeps the normalised Z near the normalised F, L_COV decorrelates the features of a batch,",
    "L_ADV pushes samples from the centroids of other classes and those centroids apart.",
    "`nmtune` is the MLP trained with L = L_CE + lambda (L_MSE + L_COV + L_SVD), L_SVD = -s_1 / sum s_j of the batch",
    "(Chen et al., ICLR 2024).",
    "",
    "AdamW, cosine per step without warm-up. A parameter that the method does not use is an error unless it has its",
    "default value, so that an axis may hold `{ method: probe }` beside `{ method: ran, alpha: 0.02 }`.",
  ].join("\n"),
  inputs: {
    train: port("features", { description: "training samples" }),
    val: port("features", {
      optional: true,
      description: "read for fitted thresholds and for selection best_val",
    }),
  },
  outputs: {
    head: port("head"),
    log: port("table", { description: "one row per epoch: loss, its terms, learning rate" }),
  },
  params: headParams,
  reads: (params) => (needsValidation(params) ? ["train", "val"] : ["train"]),
  check: checkHeadParams,
  seeded: true,
  growth: { time: ({ bytes, params }) => params.epochs * bytes("train") },
  async run(context) {
    const { runHeadTraining } = await import("./heads/run.ts");
    await runHeadTraining(context);
  },
});

function needsValidation(params: HeadParams): boolean {
  return params.threshold !== "0.5" || params.selection === "best_val";
}
