import { z } from "zod";
import { libraryOf } from "../../engine/model/node-library.ts";
import { defineNode, port } from "../../engine/sdk.ts";
import type { NodeLibrary } from "../../engine/sdk.ts";

/** Stand-ins for the node types of the paper's tables: their ports and parameters, and no work. */
const nothing = async (): Promise<void> => {};

const load = defineNode({
  type: "paper.load",
  version: 1,
  summary: "Images of a dataset",
  inputs: {},
  outputs: { images: port("images") },
  params: z.object({ dataset: z.string(), split: z.enum(["train", "test", "valid", "all"]) }),
  run: nothing,
});

const pairs = defineNode({
  type: "paper.pairs",
  version: 1,
  summary: "Images with captions",
  inputs: {},
  outputs: { pairs: port("pairs") },
  params: z.object({}),
  run: nothing,
});

const encoder = defineNode({
  type: "paper.encoder",
  version: 1,
  summary: "A pre-trained model",
  inputs: {},
  outputs: { model: port("clip-model") },
  params: z.object({ arch: z.string(), imageSize: z.int().positive() }),
  run: nothing,
});

const features = defineNode({
  type: "paper.features",
  version: 1,
  summary: "Features of images",
  inputs: { model: port("clip-model"), images: port("images") },
  outputs: { features: port("features") },
  params: z.object({ tokens: z.boolean().default(false) }),
  run: nothing,
});

const external = defineNode({
  type: "paper.external",
  version: 1,
  summary: "Features out of a file that another program wrote",
  inputs: {},
  outputs: { features: port("features") },
  params: z.object({ file: z.string() }),
  run: nothing,
});

const attackImages = defineNode({
  type: "paper.attack-images",
  version: 1,
  summary: "Pairs with noisy images",
  inputs: { pairs: port("pairs"), model: port("clip-model") },
  outputs: { pairs: port("pairs") },
  params: z.object({ percent: z.number().meta({ unit: "%" }) }),
  run: nothing,
});

const attackCaptions = defineNode({
  type: "paper.attack-captions",
  version: 1,
  summary: "Pairs with noisy captions",
  inputs: { pairs: port("pairs") },
  outputs: { pairs: port("pairs") },
  params: z.object({ percent: z.number().meta({ unit: "%" }) }),
  run: nothing,
});

const mix = defineNode({
  type: "paper.mix",
  version: 1,
  summary: "Replaces a share of the clean pairs",
  inputs: { clean: port("pairs"), noisy: port("pairs") },
  outputs: { pairs: port("pairs") },
  params: z.object({ percent: z.number().meta({ unit: "%" }) }),
  reads: ({ percent }) => (percent === 0 ? ["clean"] : ["clean", "noisy"]),
  run: nothing,
});

const pretrain = defineNode({
  type: "paper.pretrain",
  version: 1,
  summary: "Pre-trains a model",
  seeded: true,
  inputs: { pairs: port("pairs"), init: port("clip-model") },
  outputs: { model: port("clip-model") },
  params: z.object({ epochs: z.int().default(30) }),
  run: nothing,
});

const tune = defineNode({
  type: "paper.tune",
  version: 1,
  summary: "Fine-tunes a head",
  seeded: true,
  inputs: { train: port("features") },
  outputs: { head: port("head") },
  params: z.object({
    method: z.enum(["probe", "mlp", "ran"]),
    alpha: z.number().default(0),
    beta: z.number().default(0),
    useMse: z.boolean().default(true),
    useCov: z.boolean().default(true),
    useAdv: z.boolean().default(true),
  }),
  run: nothing,
});

const evaluate = defineNode({
  type: "paper.evaluate",
  version: 1,
  summary: "Measures a head",
  inputs: { head: port("head"), features: port("features") },
  outputs: { metrics: port("metrics") },
  params: z.object({}),
  run: nothing,
});

const table = defineNode({
  type: "paper.table",
  version: 1,
  summary: "A table",
  inputs: { rows: port("metrics", { many: true }) },
  outputs: { report: port("report") },
  params: z.object({ rows: z.array(z.string()), columns: z.array(z.string()) }),
  run: nothing,
});

export const paperLibrary: NodeLibrary = libraryOf([
  load,
  pairs,
  encoder,
  features,
  external,
  attackImages,
  attackCaptions,
  mix,
  pretrain,
  tune,
  evaluate,
  table,
]);
