import { defineNode, port } from "../engine/sdk.ts";
import { checkVqaParams, vqaParams } from "./vqa/params.ts";

export const vqaTrain = defineNode({
  type: "vqa.train",
  version: 4,
  summary: "Trains a co-attention fusion of image and question with a head that chooses an answer",
  details: [
    "Image and text tokens go through METER's fusion (Dou et al., CVPR 2022): each stream has layers of attention to itself,",
    "attention to the other stream's layer before, and an MLP, all post-norm. The pooled tokens of both streams are joined",
    "to the feature h, and the head on h is one of `head.train`, whose losses take h as F, as given. The encoders stay frozen.",
    "",
    "The answers are those of the training questions: lower case, one space between words, no period at the end, number words as",
    "digits, no articles. AdamW; the rate rises for the first tenth of the steps and then falls to 0 on a line; the head's is",
    "ten times the fusion's. Weights start from N(0, 0.02), the head as in `head.train`. Training is checkpointed and resumes to",
    "the same bytes at the same backend and thread count.",
  ].join("\n"),
  inputs: {
    train: port("tokens", { description: "training questions" }),
    val: port("tokens", { optional: true, description: "read for selection best_val" }),
  },
  outputs: {
    model: port("vqa-model"),
    log: port("table", { description: "one row per epoch: loss, its terms, learning rate" }),
  },
  params: vqaParams,
  reads: ({ selection }) => (selection === "best_val" ? ["train", "val"] : ["train"]),
  check: checkVqaParams,
  checkInputs: ({ selection }, bound) =>
    selection === "best_val" && !bound.includes("val")
      ? "selection best_val compares epochs on validation questions: bind `val` to their tokens"
      : undefined,
  seeded: true,
  growth: { time: ({ bytes, params }) => params.epochs * params.layers * params.width * bytes("train") },
  async run(context) {
    const { trainVqa } = await import("./vqa/train.ts");
    await trainVqa(context);
  },
});
