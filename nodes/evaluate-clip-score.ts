import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { bootstrapParams } from "./metrics/bootstrap.ts";

const params = z.object({
  compare: z
    .enum(["image-text", "image-image", "text-text", "text-image"])
    .default("image-text")
    .meta({ description: "what of each pair is compared with what of its reference" }),
  scale: z
    .union([z.literal(1), z.literal(2.5)])
    .default(1)
    .meta({
      description: "1 for the cosine itself, 2.5 for CLIPScore's 2.5 · max(cos, 0)",
    }),
  prefix: z.string().default("").meta({
    description: "put before each text; CLIPScore has `A photo depicts `",
    neutral: "",
  }),
  encoder: z.string().default("").meta({
    description: "name of the encoder that the record carries, for tables over several",
  }),
  // Not ephemeral: matrix products of another height may differ in their last bits.
  batchSize: z.int().min(1).default(32).meta({ description: "images or texts encoded at once" }),
  ...bootstrapParams(1000),
});

export type ClipScoreParams = z.output<typeof params>;

/** `evaluate.clip-score`: how near pairs come to their references in a CLIP's space (METHOD 10.3). */
export const evaluateClipScore = defineNode({
  type: "evaluate.clip-score",
  version: 2,
  summary: "Measures how near pairs come to their references: the mean cosine of their features in a CLIP",
  details: [
    "A pair's reference is the record of `references` with its id, or the one that `match` names: with the report of",
    "`attack.image-pgd`, the target of each attacked image. A white-box attack is `compare: image-text` of `pairs` (clean or",
    "attacked) with the captions of those targets; what a captioner answered is compared by `text-text`, what was drawn from a",
    "caption by `image-image`. Pairs without a reference are left out and counted.",
    "",
    "The score is the plain cosine, as in AttackVLM and in the paper's numbers; with `scale: 2.5` it is CLIPScore (Hessel et al.",
    "2021). The interval of the mean is that of `bootstrap` draws of the pairs with replacement (percentiles).",
  ].join("\n"),
  inputs: {
    model: port("clip-model", { description: "the encoder" }),
    pairs: port("pairs"),
    references: port("pairs", { description: "what the pairs are compared with" }),
    match: port("table", {
      optional: true,
      description: "columns id and target: the reference of each pair, by id",
    }),
  },
  outputs: {
    metrics: port("metrics", {
      description: "encoder, compare, headline, clipScore, clipScoreLow, clipScoreHigh, n, unmatched",
    }),
    scores: port("table", { description: "id, reference, cosine and score of each pair" }),
  },
  params,
  seeded: ({ bootstrap }) => bootstrap > 0,
  growth: {
    time: ({ bytes }) => bytes("pairs") * bytes("model"),
    space: ({ bytes }) => bytes("pairs"),
  },
  async run(context) {
    const { runClipScore } = await import("./metrics/clip-score.ts");
    await runClipScore(context);
  },
});
