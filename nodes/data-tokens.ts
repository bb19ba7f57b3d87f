import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { findTokenFiles } from "./data/token-files.ts";

const params = z.object({
  root: z
    .string()
    .min(1)
    .meta({ path: true, description: "the folder with the table and the tensors of one dataset" }),
  pooled: z.enum(["last", "first"]).default("last").meta({
    description:
      "the text token that the encoder reads a text from: the last, as of a language model, or the first",
  }),
});

export type DataTokensParams = z.output<typeof params>;

/** `data.tokens`: what an encoder outside ranflow, such as LLaVA-Med's, makes of questions and images. */
export const dataTokens = defineNode({
  type: "data.tokens",
  version: 1,
  summary: "Reads tokens of questions and images that an encoder of your own made",
  details: [
    "Layout: `tokens.csv` (or `.jsonl`, `.ndjson`, `.parquet`) with the columns id, image and text: for each question the name of",
    "its image's tensor and of its own in `tokens.safetensors`. An image's tensor is [N, W], its tokens, and all images have the same",
    "shape; a text's is [L, V], without padding. Questions share the tensors of their image. Rows of other questions are not read, so",
    "that one folder may serve all splits of a dataset. Tokens are kept in half precision.",
  ].join("\n"),
  inputs: { questions: port("questions") },
  outputs: { tokens: port("tokens") },
  params,
  async scan({ params: { root } }) {
    const { files, root: folder } = await findTokenFiles(root);
    return { dataset: "tokens", root: folder, files };
  },
  async run(context) {
    const { loadOwnTokens } = await import("./data/own-tokens.ts");
    await loadOwnTokens(context);
  },
});
