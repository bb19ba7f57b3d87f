import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import type { NodeType } from "../engine/sdk.ts";

/** The parameters of pre-training, whoever carries it out. */
export const pretrainParams = z.object({
  epochs: z.int().min(0).default(30).meta({ description: "passes over the pairs" }),
  batchSize: z.int().min(2).default(16).meta({ description: "pairs contrasted with each other" }),
  learningRate: z.number().positive().default(5e-4).meta({ description: "peak learning rate" }),
  warmup: z.int().min(0).default(2000).meta({
    description: "steps of linear warm-up to the peak",
    unit: "step",
  }),
  schedule: z
    .enum(["cosine", "constant"])
    .default("cosine")
    .meta({ description: "after the warm-up: half a cosine down to 0, or constant" }),
  optimizer: z
    .enum(["adamw", "adam"])
    .default("adamw")
    .meta({ description: "AdamW decays weights directly, Adam through the gradient" }),
  weightDecay: z.number().min(0).optional().meta({
    description:
      "0.2 with adamw and 0 with adam unless told; adamw leaves out biases, norms, vectors and the logit scale",
  }),
  beta1: z.number().min(0).lt(1).default(0.9).meta({ description: "decay of the first moment" }),
  beta2: z.number().min(0).lt(1).default(0.98).meta({ description: "decay of the second moment" }),
  eps: z.number().positive().default(1e-6).meta({ description: "added to the root of the second moment" }),
  accumulation: z.int().min(1).default(1).meta({
    description:
      "parts that a batch goes through the model in, one after the other, where it does not fit into memory: the loss is still that of the whole batch (features of all parts first, then each part forward and back), for one more forward pass",
    neutral: 1,
  }),
  recompute: z.boolean().default(false).meta({
    description:
      "keep each block's input alone and compute its activations again on the way back: the same numbers with a fraction of the memory, for a third more work",
    ephemeral: true,
  }),
  augment: z.boolean().default(true).meta({
    description: "RandomResizedCrop of 90-100 % of the area, as OpenCLIP trains; otherwise the centre crop",
  }),
  dropLast: z
    .boolean()
    .default(true)
    .meta({ description: "leave out an epoch's last batch where it is not full" }),
  precision: z
    .literal("float32")
    .default("float32")
    .meta({ description: "number format of the computation", neutral: "float32" }),
});

/** `clip.pretrain`: contrastive training of a CLIP on image-caption pairs. */
export const clipPretrain: NodeType = defineNode({
  type: "clip.pretrain",
  version: 4,
  summary: "Trains a CLIP contrastively on image-caption pairs",
  details:
    "Loss: ½·mean_i[CE(s·UVᵀ, i) + CE(s·VUᵀ, i)] with U, V the normalised features and s = exp(logit_scale), clamped to [1, 100] after each step (Radford et al. 2021). Batch norms of a ResNet keep their running statistics. Where `noise.random` marked a caption, its noise is added to the embeddings of its tokens. The run is checkpointed and resumes to the same bytes at the same backend and thread count.",
  inputs: { pairs: port("pairs"), init: port("clip-model") },
  outputs: {
    model: port("clip-model"),
    log: port("table", { description: "loss, learning rate, gradient norm and logit scale over the steps" }),
  },
  params: pretrainParams,
  seeded: true,
  resources: { cpu: 1 },
  growth: {
    time: ({ bytes, params }) => params.epochs * bytes("pairs") * bytes("init"),
    space: ({ bytes }) => bytes("init"),
  },
  async run(context) {
    const { pretrain } = await import("./clip/pretrain.ts");
    await pretrain(context);
  },
});

export type PretrainParams = z.output<typeof pretrainParams>;
