import { z } from "zod";
import { NodeError, defineNode, port } from "../engine/sdk.ts";
import { readCsv } from "./data/csv.ts";
import { holds } from "./data/folder.ts";
import type { DatasetFolder } from "./data/folder.ts";
import { chexpertLabels, noFinding } from "./data/label-names.ts";
import type { ChexpertLabel } from "./data/label-names.ts";
import { loadDataset, scanDataset } from "./data/loader.ts";
import type { Dataset, DatasetRow } from "./data/loader.ts";
import { loaderInputs, loaderParams, rootProblem } from "./data/loader-params.ts";
import { growthOfLoader } from "./data/published-size.ts";
import { writeImages } from "./records.ts";

const params = z.object({
  ...loaderParams,
  split: z
    .enum(["train", "val", "valid", "test"])
    .default("test")
    .meta({ description: "official split; `valid` is another word for `val`" }),
  uncertain: z
    .enum(["u_ones", "u_zeros", "u_ignore", "u_ignore_blank"])
    .default("u_ones")
    .meta({
      description:
        "what -1 (uncertain) means: present, absent or unknown, with blank as absent; `u_ignore_blank` takes blank as " +
        "unknown too, except in studies with No Finding, where the other findings are absent",
    }),
  frontalOnly: z.boolean().default(true).meta({ description: "leave out lateral views" }),
});

type Params = z.output<typeof params>;
type Answer = 0 | 1 | null;

interface Row extends DatasetRow {
  readonly y: readonly Answer[];
}

/** Tables of each split; the test set came later, under several names. */
const tables: Readonly<Record<Params["split"], readonly string[]>> = {
  train: ["train.csv"],
  val: ["valid.csv", "val.csv"],
  valid: ["valid.csv", "val.csv"],
  test: ["test.csv", "test_labels.csv", "groundtruth.csv"],
};
const anyTable = [...new Set(Object.values(tables).flat())];

const chexpert: Dataset<Params, Row> = {
  name: "chexpert",
  layout: [
    "CheXpert-v1.0-small/train.csv, CheXpert-v1.0-small/valid.csv, CheXpert-v1.0-small/test.csv",
    "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg",
  ],
  nested: ["CheXpert-v1.0-small", "CheXpert-v1.0", "CheXpert", "chexpert"],
  isHere: async (folder) => (await firstOf(folder, anyTable)) !== undefined,

  async read(folder, params) {
    const table = await firstOf(folder, tables[params.split]);
    if (table === undefined) {
      const there = (await Promise.all(anyTable.map((name) => firstOf(folder, [name])))).filter(Boolean);
      throw new NodeError(
        `${folder.title} has no table of the ${params.split} split (${tables[params.split].join(" or ")})`,
        {
          hint: `It has ${there.join(", ")}: choose another split, or copy the table and its images there.`,
        },
      );
    }
    const file = folder.file(table);
    const entries = await readCsv(file, {
      required: ["Path", ...chexpertLabels],
      optional: ["Frontal/Lateral"],
      // One spread copy writes `Pleural_Effusion`.
      rename: (header) => header.replaceAll("_", " "),
    });
    const rows = entries.flatMap(({ line, fields }): Row[] => {
      const image = placeOf(fields.Path.trim(), `${file.name}:${line}`);
      const view = fields["Frontal/Lateral"]?.trim() || (/lateral/i.test(image) ? "Lateral" : "Frontal");
      if (params.frontalOnly && view !== "Frontal") return [];
      const values = chexpertLabels.map((label) => valueOf(fields[label], label, `${file.name}:${line}`));
      return [{ id: image.replace(/\.\w+$/, ""), image, y: answersOf(values, params.uncertain) }];
    });
    return { tables: [table], rows };
  },

  // Every study has a folder of its own: listing them all would take longer than looking for the wanted ones.
  locator: async (folder) => async (row) => ((await holds(folder, row.image)) ? row.image : undefined),
};

async function firstOf(folder: DatasetFolder, names: readonly string[]): Promise<string | undefined> {
  const there = await folder.list("");
  return names.find((name) => there?.has(name));
}

/** The image relative to the dataset's folder: paths start with the folder's name at the time of the release. */
function placeOf(path: string, at: string): string {
  const parts = path.split("/");
  const start = parts.findIndex((part) => /^(train|valid|val|test)$/.test(part));
  if (start === -1 || parts.includes("..")) {
    throw new NodeError(
      `${at} has the path ${JSON.stringify(path)}, which is in none of train/, valid/ and test/`,
      {
        hint: "Paths look like CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg.",
      },
    );
  }
  return parts.slice(start).join("/");
}

type Value = 1 | 0 | -1 | undefined;

function valueOf(text: string, label: ChexpertLabel, at: string): Value {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  const value = Number(trimmed);
  if (value === 1 || value === 0 || value === -1) return value;
  throw new NodeError(`${at} has ${JSON.stringify(text)} for ${label}`, {
    hint: "A label is 1.0 (present), 0.0 (absent), -1.0 (uncertain) or blank (not mentioned).",
  });
}

function answersOf(values: readonly Value[], uncertain: Params["uncertain"]): Answer[] {
  const healthy = values[chexpertLabels.indexOf(noFinding)] === 1;
  return values.map((value, index) => {
    if (value === 1 || value === 0) return value;
    if (value === -1) return uncertain === "u_ones" ? 1 : uncertain === "u_zeros" ? 0 : null;
    if (uncertain !== "u_ignore_blank") return 0;
    return healthy && chexpertLabels[index] !== "Support Devices" ? 0 : null;
  });
}

/** Loads CheXpert (Irvin et al., AAAI 2019). */
export const dataChexpert = defineNode({
  type: "data.chexpert",
  version: 1,
  summary: "Reads CheXpert, chest radiographs labelled with 14 observations",
  details:
    "Layout: `CheXpert-v1.0-small/` (or `CheXpert-v1.0/`) with `train.csv`, `valid.csv` and, where there is one, " +
    "`test.csv`, whose column Path names the images. Labels that are -1 are uncertain; experts' labels (valid, test) " +
    "have none.",
  inputs: loaderInputs,
  outputs: { images: port("images") },
  params,
  growth: growthOfLoader({ train: 223_414, val: 234, valid: 234, test: 668 }, 230),
  checkInputs: rootProblem,
  scan: ({ params, log }) => scanDataset(chexpert, params, log),
  async run(context) {
    const { split } = context.params;
    const loaded = await loadDataset(chexpert, context);
    const header = {
      dataset: "chexpert",
      split: split === "valid" ? "val" : split,
      labels: [...chexpertLabels],
    };
    await writeImages(
      context.outputs.images.path,
      header,
      loaded.map(({ row, image }) => ({ id: row.id, image, y: row.y })),
    );
    context.log(`${loaded.length} images of CheXpert ${split}`);
  },
});
