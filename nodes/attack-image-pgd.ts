import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import type { NodeType } from "../engine/sdk.ts";

const params = z.object({
  loss: z.enum(["embed_cos", "embed_dot", "contrastive_ce"]).default("embed_cos").meta({
    description:
      "what is ascended: cosine with the target's features, their dot product, or the log-softmax over the batch's targets at the surrogate's temperature",
  }),
  norm: z.enum(["linf", "l2"]).default("linf").meta({ description: "norm that bounds the perturbation" }),
  eps: z
    .number()
    .min(0)
    .optional()
    .meta({ description: "largest perturbation; 8/255 with linf and 1 with l2 unless told", unit: "ratio" }),
  alpha: z
    .number()
    .min(0)
    .optional()
    .meta({ description: "length of a step; 1/255 with linf and 0.2 with l2 unless told", unit: "ratio" }),
  steps: z.int().min(0).default(100).meta({ description: "updates of each image" }),
  randomStart: z
    .boolean()
    .default(false)
    .meta({ description: "begin at a random point of the ball in place of the clean image" }),
  l2Start: z.enum(["gaussian", "ball"]).default("gaussian").meta({
    description:
      "random start with l2: a random direction of uniform length (torchattacks), or uniform in the ball (foolbox)",
    neutral: "gaussian",
  }),
  boxClip: z.enum(["each_step", "final"]).default("each_step").meta({
    description:
      "keep the image in [0, 1] after each step, or clip in front of the encoder and once at the end",
  }),
  percent: z
    .number()
    .min(0)
    .max(100)
    .default(100)
    .meta({ description: "share of the pairs to attack, the first of the order of noise", unit: "%" }),
  // Not ephemeral: `contrastive_ce` contrasts the batch's targets.
  batchSize: z.int().min(1).default(16).meta({ description: "images attacked at once" }),
});

/** `attack.image-pgd`: adversarial images whose features lie near those of other images. */
export const attackImagePgd: NodeType = defineNode({
  type: "attack.image-pgd",
  version: 4,
  summary: "Makes images adversarial by projected gradient ascent towards the features of target images",
  details:
    "Each image gets a random target and is moved, within eps of the clean image, so that a surrogate CLIP's features come near the target's (AttackVLM, MF-ii). Images are resized and cropped to the surrogate's input and stored as PNG, rounded as floor(255x + 0.5). `pairs` holds the attacked records only, in dataset order, with their captions. Each attacked image is kept by the content of the image and of its target, the surrogate and the settings (with contrastive_ce, each batch): a greater percent or limit pays for new images alone.",
  inputs: {
    pairs: port("pairs"),
    targets: port("pairs", { description: "where target images are drawn from" }),
    model: port("clip-model", { description: "the surrogate" }),
  },
  outputs: {
    pairs: port("pairs"),
    report: port("table", { description: "target, cosines and norms of each attacked image" }),
    metrics: port("metrics"),
  },
  params,
  seeded: true,
  itemwise: true,
  growth: {
    time: ({ bytes, params }) => params.percent * params.steps * bytes("pairs") * bytes("model"),
    // A larger model takes larger images: their area, like the width of features, grows as the root of its weights.
    space: ({ bytes, params }) => params.percent * bytes("pairs") * Math.sqrt(bytes("model")),
  },
  async run(context) {
    const { attackImages } = await import("./attack/attack-images.ts");
    await attackImages(context);
  },
});

export type AttackParams = z.output<typeof params>;
