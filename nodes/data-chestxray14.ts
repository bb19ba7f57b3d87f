import { posix } from "node:path";
import { z } from "zod";
import { NodeError, defineNode, port } from "../engine/sdk.ts";
import { readNameList } from "./data/name-list.ts";
import { readCsv } from "./data/csv.ts";
import { closest } from "./data/closest.ts";
import { holds } from "./data/folder.ts";
import type { DatasetFolder } from "./data/folder.ts";
import type { ImageLabels } from "./formats.ts";
import { chestxray14Labels, noFinding } from "./data/label-names.ts";
import { loadDataset, scanDataset } from "./data/loader.ts";
import type { Dataset, DatasetRow } from "./data/loader.ts";
import { loaderInputs, loaderParams, rootProblem } from "./data/loader-params.ts";
import { growthOfLoader } from "./data/published-size.ts";
import { partition } from "./data/sample.ts";
import { writeImages } from "./records.ts";

const params = z.object({
  ...loaderParams,
  split: z
    .enum(["train", "val", "valid", "test"])
    .default("train")
    .meta({ description: "part of the partition; `valid` is another word for `val`" }),
  partition: z
    .enum(["image_70_10_20", "patient_70_10_20", "official"])
    .default("image_70_10_20")
    .meta({
      description:
        "how the images are dealt out: by image (the paper's 78,484 / 11,212 / 22,424; patients are in several parts), " +
        "by patient, or NIH's own test list, with an eighth of the other patients as validation",
    }),
  includeNoFinding: z.boolean().default(false).meta({ description: "add `No Finding` as a 15th label" }),
  labelFile: z.string().nullable().default(null).meta({
    description:
      "label table in the folder, for instance subset/Data_Entry_2017_v2020.csv; the newest Data_Entry table unless given",
  }),
});

type Params = z.output<typeof params>;

interface Row extends DatasetRow {
  readonly findings: ReadonlySet<string>;
}

/** Spellings in NIH's own tables and in copies of them. */
const aliases: Readonly<Record<string, string>> = {
  Infiltrate: "Infiltration",
  "Pleural Thickening": "Pleural_Thickening",
};

const findingNames: ReadonlySet<string> = new Set([...chestxray14Labels, noFinding]);
const shares = [0.7, 0.1, 0.2];
const partNumber: Readonly<Record<Params["split"], number>> = { train: 0, val: 1, valid: 1, test: 2 };

const chestxray14: Dataset<Params, Row> = {
  name: "chestxray14",
  layout: [
    "Data_Entry_2017_v2020.csv or Data_Entry_2017.csv",
    "images/00000001_000.png or images_001/images/00000001_000.png",
    "train_val_list.txt and test_list.txt (for `partition: official`)",
  ],
  nested: ["ChestX-ray14", "ChestXray-NIHCC", "CXR8", "nih_chestxray14"],
  isHere: async (folder, { labelFile }) => (await tableOf(folder, labelFile)) !== undefined,

  async read(folder, params) {
    const table = (await tableOf(folder, params.labelFile))!;
    const file = folder.file(table);
    const entries = await readCsv(file, { required: ["Image Index", "Finding Labels", "Patient ID"] });
    // The 112,120 rows have some 800 different texts among them.
    const known = new Map<string, ReadonlySet<string>>();
    const findings = (text: string, line: number): ReadonlySet<string> => {
      let names = known.get(text);
      if (!names) known.set(text, (names = findingsOf(text, `${file.name}:${line}`)));
      return names;
    };
    const all = entries.map(({ line, fields }) => ({
      id: fields["Image Index"].trim(),
      patient: fields["Patient ID"].trim(),
      image: `images/${fields["Image Index"].trim()}`,
      findings: findings(fields["Finding Labels"], line),
    }));
    const { parts, tables } = await partsOf(folder, all, params, posix.dirname(table));
    const wanted = partNumber[params.split];
    return { tables: [table, ...tables], rows: all.filter((_, index) => parts[index] === wanted) };
  },

  async locator(folder) {
    const index = await indexImages(folder);
    return ({ id }) => index.get(id);
  },
};

async function tableOf(folder: DatasetFolder, labelFile: string | null): Promise<string | undefined> {
  if (labelFile !== null) return (await holds(folder, labelFile)) ? labelFile : undefined;
  const names = [...((await folder.list("")) ?? [])].filter((name) => /^Data_Entry.*\.csv$/i.test(name));
  // `Data_Entry_2017_v2020.csv` sorts after `Data_Entry_2017.csv`, whose labels it corrects.
  return names.toSorted((a, b) => (a.replace(".csv", "") < b.replace(".csv", "") ? -1 : 1)).at(-1);
}

/** Where each image is: NIH's archives unpack into `images/`, the most spread copy into `images_001/images/` etc. */
async function indexImages(folder: DatasetFolder): Promise<ReadonlyMap<string, string>> {
  const names = [...((await folder.list("")) ?? [])];
  const numbered = names.filter((name) => /^images_\d+$/.test(name)).toSorted();
  const index = new Map<string, string>();
  for (const place of ["images", ...numbered.flatMap((name) => [`${name}/images`, name])]) {
    for (const name of (await folder.list(place)) ?? []) {
      if (!index.has(name)) index.set(name, `${place}/${name}`);
    }
  }
  return index;
}

/** `Cardiomegaly|Emphysema` as a set of official names. */
function findingsOf(text: string, at: string): ReadonlySet<string> {
  const names = text.split("|").map((name) => aliases[name.trim()] ?? name.trim());
  for (const name of names) {
    if (findingNames.has(name)) continue;
    const near = closest(name, findingNames);
    throw new NodeError(`${at} has the unknown finding ${JSON.stringify(name)}`, {
      hint:
        near === undefined ? `The findings are ${[...findingNames].join(", ")}.` : `Did you mean ${near}?`,
    });
  }
  return new Set(names);
}

interface Entry {
  readonly id: string;
  readonly patient: string;
}

/** The part of each image, and the lists that were read for it. */
async function partsOf(
  folder: DatasetFolder,
  entries: readonly Entry[],
  { partition: how, seed }: Params,
  besides: string,
): Promise<{ readonly parts: ArrayLike<number>; readonly tables: readonly string[] }> {
  switch (how) {
    case "image_70_10_20":
      return { parts: partition(entries.length, shares, seed), tables: [] };
    case "patient_70_10_20": {
      const part = patientParts(entries, shares, seed);
      return { parts: entries.map(({ patient }) => part.get(patient)!), tables: [] };
    }
    case "official": {
      const tables = await Promise.all(
        ["train_val_list.txt", "test_list.txt"].map((name) => listBesides(folder, besides, name)),
      );
      const [trainVal, test] = await Promise.all(tables.map((name) => readNameList(folder.file(name))));
      const part = patientParts(
        entries.filter(({ id }) => trainVal!.has(id)),
        [7 / 8, 1 / 8],
        seed,
      );
      const parts = entries.map(({ id, patient }) =>
        test!.has(id) ? 2 : trainVal!.has(id) ? part.get(patient)! : -1,
      );
      return { parts, tables };
    }
  }
}

function patientParts(
  entries: readonly Entry[],
  shares: readonly number[],
  seed: number,
): ReadonlyMap<string, number> {
  const patients = [...new Set(entries.map(({ patient }) => patient))];
  const parts = partition(patients.length, shares, seed);
  return new Map(patients.map((patient, index) => [patient, parts[index]!]));
}

/** The lists of a cut-down table lie beside it, those of the whole dataset in its folder. */
async function listBesides(folder: DatasetFolder, besides: string, name: string): Promise<string> {
  for (const place of new Set([posix.join(besides, name), name])) {
    if (await holds(folder, place)) return place;
  }
  throw new NodeError(`${folder.title} has no ${name}, which \`partition: official\` needs`, {
    hint: "Copy it from the dataset's download page, or choose another partition.",
  });
}

/** Loads NIH ChestX-ray14 (Wang et al., CVPR 2017). */
export const dataChestxray14 = defineNode({
  type: "data.chestxray14",
  version: 1,
  summary: "Reads ChestX-ray14, chest radiographs labelled with 14 findings",
  details:
    "Layout: `Data_Entry_2017_v2020.csv` (or `Data_Entry_2017.csv`) with the columns Image Index, Finding Labels and " +
    "Patient ID, and the images in `images/` or `images_001/images/` to `images_012/images/`. A finding that is not " +
    "named is absent (0). With only some of the images at hand, say `onMissing: skip`: every image then is in the " +
    "same part as in the whole dataset.",
  inputs: loaderInputs,
  outputs: { images: port("images") },
  params,
  growth: growthOfLoader({ train: 78_484, val: 11_212, valid: 11_212, test: 22_424 }, 190),
  checkInputs: rootProblem,
  scan: ({ params, log }) => scanDataset(chestxray14, params, log),
  async run(context) {
    const { split, includeNoFinding } = context.params;
    const labels = includeNoFinding ? [...chestxray14Labels, noFinding] : [...chestxray14Labels];
    const loaded = await loadDataset(chestxray14, context);
    const records: ImageLabels[] = loaded.map(({ row, image }) => ({
      id: row.id,
      image,
      y: labels.map((label) => (row.findings.has(label) ? 1 : 0)),
    }));
    const header = { dataset: "chestxray14", split: split === "valid" ? "val" : split, labels };
    await writeImages(context.outputs.images.path, header, records);
    context.log(`${records.length} images of ChestX-ray14 ${split}`);
  },
});
