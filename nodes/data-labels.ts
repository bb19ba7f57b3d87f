import { z } from "zod";
import { NodeError, defineNode, port } from "../engine/sdk.ts";
import { loadDataset, scanDataset } from "./data/loader.ts";
import { rootProblem } from "./data/loader-params.ts";
import { ownDataset, ownParams, ownProblem } from "./data/own-dataset.ts";
import type { OwnRow } from "./data/own-table.ts";
import type { ImageLabels } from "./formats.ts";
import { writeImages } from "./records.ts";

const params = z.object({
  ...ownParams,
  dataset: z.string().min(1).meta({
    description: "what tables and figures call it; a head is in domain on the dataset that it was trained on",
  }),
  labels: z.array(z.string().min(1)).min(1).meta({
    description:
      "the labels: columns with 1, 0, -1 (uncertain) or nothing, or the names that `labelColumn` lists",
  }),
  labelColumn: z.string().min(1).nullable().default(null).meta({
    description: "one column that lists an image's labels; what it does not name is absent",
  }),
  separator: z.string().min(1).default("|").meta({ description: "between the names in `labelColumn`" }),
  uncertain: z
    .enum(["u_ones", "u_zeros", "u_ignore"])
    .default("u_ignore")
    .meta({ description: "what -1 means: present, absent or unknown" }),
  blank: z.enum(["absent", "unknown"]).default("unknown").meta({ description: "what an empty cell means" }),
});

type Params = z.output<typeof params>;
type Answer = ImageLabels["y"][number];

const images = ownDataset(
  "labels",
  ({ labelColumn, labels }: Params) => (labelColumn === null ? labels : [labelColumn]),
  (row, params) => ({ y: params.labelColumn === null ? cells(row, params) : named(row, params) }),
);

function cells(row: OwnRow, { blank, labels, uncertain }: Params): Answer[] {
  return labels.map((label): Answer => {
    const text = row.fields[label]!.trim();
    if (text === "") return blank === "absent" ? 0 : null;
    const value = Number(text);
    if (value === 1 || value === 0) return value;
    if (value === -1) return { u_ones: 1, u_zeros: 0, u_ignore: null }[uncertain] as Answer;
    throw new NodeError(`${row.at} has ${JSON.stringify(text)} for ${label}`, {
      hint: "A label is 1 (present), 0 (absent), -1 (uncertain) or empty; for names in one column say `labelColumn`.",
    });
  });
}

function named({ fields }: OwnRow, { labelColumn, labels, separator }: Params): Answer[] {
  const names = new Set(fields[labelColumn!]!.split(separator).map((name) => name.trim()));
  return labels.map((label) => (names.has(label) ? 1 : 0));
}

export const dataLabels = defineNode({
  type: "data.labels",
  version: 2,
  summary: "Reads labelled images of your own: a table and a folder of images",
  details:
    "The table is CSV (with a header), JSON lines or Parquet, with a column for each label or one that lists them. A " +
    "split is a column of the table (`where: { split: train }`), or dealt out at random by `shares`, keeping equal " +
    "values of `group`, such as a patient's images, together.",
  inputs: { root: port("folder", { optional: true, description: "the folder from a node" }) },
  outputs: { images: port("images") },
  params,
  check: (params) =>
    ownProblem(params) ??
    (new Set(params.labels).size < params.labels.length ? "a label stands twice in `labels`" : undefined),
  checkInputs: rootProblem,
  scan: ({ params, log }) => scanDataset(images, params, log),
  async run(context) {
    const { dataset, labels, split } = context.params;
    const loaded = await loadDataset(images, context);
    await writeImages(
      context.outputs.images.path,
      { dataset, split, labels },
      loaded.map(({ row: { id, y }, image }) => ({ id, image, y })),
    );
    const seen = labels.filter((_, index) => loaded.some(({ row }) => row.y[index] === 1));
    if (seen.length < labels.length) {
      context.log(
        `no image has ${labels.filter((label) => !seen.includes(label)).join(", ")}: check the spelling`,
        "warning",
      );
    }
    context.log(`${loaded.length} images with ${labels.length} labels`);
  },
});
