import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";
import { readCsv } from "./data/csv.ts";
import { holds } from "./data/folder.ts";
import { loadDataset, scanDataset } from "./data/loader.ts";
import type { Dataset, DatasetRow } from "./data/loader.ts";
import { loaderInputs, loaderParams, rootProblem } from "./data/loader-params.ts";
import { growthOfLoader } from "./data/published-size.ts";
import { writePairs } from "./records.ts";

const params = z.object({
  ...loaderParams,
  split: z
    .enum(["train", "val", "valid", "test"])
    .default("train")
    .meta({ description: "official split; `valid` is another word for `val`" }),
});

type Params = z.output<typeof params>;

interface Row extends DatasetRow {
  readonly caption: string;
  /** Folder that holds the split's images, as `train`. */
  readonly split: string;
}

/** The word for a split in ROCOv2's file names. */
const officialSplit = ({ split }: Params): string => (split === "val" ? "valid" : split);

const rocov2: Dataset<Params, Row> = {
  name: "rocov2",
  layout: ["train_captions.csv, valid_captions.csv, test_captions.csv", "train/ROCOv2_2023_train_000001.jpg"],
  nested: ["ROCOv2", "rocov2", "ROCOv2-radiology"],
  isHere: (folder, params) => holds(folder, `${officialSplit(params)}_captions.csv`),

  async read(folder, params) {
    const split = officialSplit(params);
    const table = `${split}_captions.csv`;
    const rows = await readCsv(folder.file(table), { required: ["ID", "Caption"] });
    return {
      tables: [table],
      rows: rows.map(({ fields }) => {
        const id = fields.ID.trim().replace(/\.jpe?g$/i, "");
        return { id, image: `${split}/${id}.jpg`, caption: fields.Caption.trim(), split };
      }),
    };
  },

  async locator(folder) {
    const places = ["train", "valid", "test"].flatMap((split) => [split, `${split}_images`]);
    const listings = new Map(
      await Promise.all(places.map(async (place) => [place, await folder.list(place)] as const)),
    );
    return ({ id, split }) => {
      for (const place of [split, `${split}_images`]) {
        const names = listings.get(place);
        const name = extensions.map((extension) => id + extension).find((file) => names?.has(file));
        if (name !== undefined) return `${place}/${name}`;
      }
      return undefined;
    };
  },
};

const extensions = [".jpg", ".jpeg", ".png"];

/** Loads ROCOv2's image-caption pairs (Rückert et al., Scientific Data 2024). */
export const dataRocov2 = defineNode({
  type: "data.rocov2",
  version: 1,
  summary: "Reads ROCOv2, radiology images with their captions",
  details:
    "Layout: `{train,valid,test}_captions.csv` with the columns ID and Caption, and the images in " +
    "`{train,valid,test}/` or `{train,valid,test}_images/`. Captions are kept as they are but for white space at " +
    "either end.",
  inputs: loaderInputs,
  outputs: { pairs: port("pairs") },
  params,
  growth: growthOfLoader({ train: 59_958, val: 9_904, valid: 9_904, test: 9_927 }, 270),
  checkInputs: rootProblem,
  scan: ({ params, log }) => scanDataset(rocov2, params, log),
  async run(context) {
    const loaded = await loadDataset(rocov2, context);
    await writePairs(
      context.outputs.pairs.path,
      loaded.map(({ row, image }) => ({ id: row.id, image, caption: row.caption })),
    );
    context.log(`${loaded.length} pairs of ROCOv2 ${context.params.split}`);
  },
});
