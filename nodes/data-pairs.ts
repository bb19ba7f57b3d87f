import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { loadDataset, scanDataset } from "./data/loader.ts";
import { rootProblem } from "./data/loader-params.ts";
import { ownDataset, ownParams, ownProblem } from "./data/own-dataset.ts";
import { writePairs } from "./records.ts";

const params = z.object({
  ...ownParams,
  caption: z.string().min(1).default("caption").meta({ description: "column with the caption" }),
});

type Params = z.output<typeof params>;

const pairs = ownDataset(
  "pairs",
  ({ caption }: Params) => [caption],
  ({ fields }, { caption }) => ({ caption: fields[caption]!.trim() }),
);

export const dataPairs = defineNode({
  type: "data.pairs",
  version: 2,
  summary: "Reads image-caption pairs of your own: a table and a folder of images",
  details:
    "The table is CSV (with a header), JSON lines or Parquet. Rows without a caption are left out. A split is a column " +
    "of the table (`where: { split: train }`), or dealt out at random by `shares`, keeping equal values of `group` " +
    "together.",
  inputs: { root: port("folder", { optional: true, description: "the folder from a node" }) },
  outputs: { pairs: port("pairs") },
  params,
  check: ownProblem,
  checkInputs: rootProblem,
  scan: ({ params, log }) => scanDataset(pairs, params, log),
  async run(context) {
    const loaded = await loadDataset(pairs, context);
    const told = loaded.filter(({ row }) => row.caption !== "");
    if (told.length < loaded.length)
      context.log(`${loaded.length - told.length} rows without a caption are left out`);
    await writePairs(
      context.outputs.pairs.path,
      told.map(({ row: { caption, id }, image }) => ({ id, image, caption })),
    );
    context.log(`${told.length} pairs`);
  },
});
