import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import type { NodeType } from "../engine/sdk.ts";
import { pretrainParams } from "./clip-pretrain.ts";
import { weightDecayOf } from "./clip/training-plan.ts";

const params = pretrainParams.extend({
  precision: z.enum(["float32", "bfloat16"]).default("float32").meta({
    description:
      "number format of the computation; `bfloat16` is OpenCLIP's `amp_bf16`, in which weights and optimiser stay float32",
    neutral: "float32",
  }),
  python: z.string().min(1).optional().meta({
    ephemeral: true,
    description:
      "the Python to train with, a name in PATH or a path; RANFLOW_PYTHON of the environment unless told, else python3",
  }),
  device: z.enum(["auto", "cpu", "cuda"]).default("auto").meta({
    ephemeral: true,
    description:
      "what to train on; `auto` takes the GPUs of the step (`resources: { gpu: 2 }`) where there are any",
  }),
  processes: z.int().min(1).optional().meta({
    ephemeral: true,
    description:
      "processes on each machine that share every batch; one for each GPU of the step unless told, on processors one",
  }),
  machines: z.int().min(1).optional().meta({
    ephemeral: true,
    description:
      "machines of the Slurm allocation that the step runs in to train on; all of them unless told",
  }),
  workers: z.int().min(0).default(2).meta({
    ephemeral: true,
    description: "processes beside each of those that read and decode its images",
  }),
  graceSeconds: z.number().min(0).max(3600).default(30).meta({
    ephemeral: true,
    unit: "s",
    description: "how long the training may take to end after SIGTERM before it is killed",
  }),
});

/** `clip.pretrain-openclip`: the training of `clip.pretrain` by OpenCLIP on PyTorch. */
export const clipPretrainOpenClip: NodeType = defineNode({
  type: "clip.pretrain-openclip",
  version: 2,
  summary: "Trains a CLIP contrastively on image-caption pairs, by OpenCLIP on any number of GPUs",
  details: [
    "The same training as `clip.pretrain`, carried out by OpenCLIP (`open_clip_train`, version 3) in a Python of yours: the same batches,",
    "crops and caption noise in the same order, the same start, loss, schedule and weight decay. Pairs are written as WebDataset shards",
    "into the step's scratch folder, and torchrun starts one process for each GPU. The loss is that of the whole batch, whatever the number of",
    "processes. In a Slurm allocation of several machines all of them take part.",
    "",
    "Image towers are CLIP's ViTs and ResNets (whose batch norms keep their running statistics), text towers CLIP's own; towers of timm and BERT are trained by `clip.pretrain`. Adam is there",
    "without weight decay only. OpenCLIP writes a checkpoint at the end of an epoch, and an interrupted step goes on from the last one. Its log",
    "has no gradient norm, and the logit scale of a step is that before the update.",
    "",
    "Numbers differ from those of `clip.pretrain` by rounding and the way images are decoded and resized. Devices, processes and the paths of the Python are no",
    "part of the key; the versions of Python, torch and open_clip are recorded with the result.",
  ].join("\n"),
  inputs: { pairs: port("pairs"), init: port("clip-model") },
  outputs: {
    model: port("clip-model"),
    log: port("table", { description: "loss, learning rate and logit scale over the steps" }),
  },
  params,
  check: (given) =>
    given.optimizer === "adam" && weightDecayOf(given) > 0
      ? "OpenCLIP has no Adam with weight decay: use `optimizer: adamw`, `weightDecay: 0`, or `clip.pretrain`"
      : undefined,
  seeded: true,
  resources: { cpu: 1 },
  growth: {
    time: ({ bytes, params: given }) => given.epochs * bytes("pairs") * bytes("init"),
    space: ({ bytes }) => bytes("init"),
  },
  async run(context) {
    const { pretrainByOpenClip } = await import("./openclip/pretrain.ts");
    await pretrainByOpenClip(context);
  },
});

export type PretrainOpenClipParams = z.output<typeof params>;
