/** The official layouts of four datasets, filled with the synthetic world's pictures. */
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { randomStream } from "../../random.ts";
import { chexpertLabels } from "../label-names.ts";
import type { ChestXray14Label, ChexpertLabel } from "../label-names.ts";
import { chestStudy, figure } from "./studies.ts";
import type { PatientPicture, World } from "./studies.ts";
import type { PictureWriter } from "./encode.ts";

const text = (lines: readonly string[]): string => `${lines.join("\n")}\n`;
const csvField = (value: string): string =>
  /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
const padded = (value: number, digits: number): string => String(value).padStart(digits, "0");

/** Pictures in a split of which `train` has `pairs`. */
export function rocov2Splits(pairs: number): Readonly<Record<"train" | "valid" | "test", number>> {
  const rest = Math.max(4, Math.round(pairs / 5));
  return { train: pairs, valid: rest, test: rest };
}

/** ROCOv2: `{split}_captions.csv`, the concept tables, `{split}/ROCOv2_2023_{split}_000001.jpg`. */
export async function writeRocov2(
  folder: string,
  world: World,
  pairs: number,
  pictures: PictureWriter,
): Promise<void> {
  for (const [split, count] of Object.entries(rocov2Splits(pairs))) {
    const captions = ["ID,Caption"];
    const concepts = ["ID,CUIs"];
    for (let number = 1; number <= count; number++) {
      const id = `ROCOv2_2023_${split}_${padded(number, 6)}`;
      const plate = figure(world, "rocov2", id);
      captions.push(`${id},${csvField(plate.caption)}`);
      concepts.push(`${id},${plate.concepts.join(";")}`);
      await pictures.write(`${split}/${id}.jpg`, plate.picture, number % 5 < 2 ? "L" : "RGB");
    }
    await writeFile(join(folder, `${split}_captions.csv`), text(captions));
    await writeFile(join(folder, `${split}_concepts.csv`), text(concepts));
    await writeFile(join(folder, `${split}_concepts_manual.csv`), text(concepts));
  }
}

/** MedICaT: one JSON line a figure, and `release/figures/{pdf_hash}_{fig_uri}`. */
export async function writeMedicat(
  folder: string,
  world: World,
  targets: number,
  pictures: PictureWriter,
): Promise<void> {
  const lines: string[] = [];
  for (let number = 0; number < targets; number++) {
    const hash = createHash("sha1").update(`synthetic/${world.seed}/${number}`).digest("hex");
    const order = (number % 4) + 1;
    const uri = `${order + 1}-Figure${order}-1.png`;
    const plate = figure(world, "medicat", hash);
    const caption = `Figure ${order}. ${plate.caption}`;
    const record = {
      pdf_hash: hash,
      fig_key: `Figure${order}`,
      fig_uri: uri,
      s2_caption: caption,
      s2orc_caption: number % 10 === 3 ? null : caption,
      s2orc_references: number % 3 === 0 ? null : [plate.caption],
      radiology: true,
      scope: true,
      predicted_type: "Medical images",
      oa_info: { source: "synthetic", doi: null, oa: { license: null } },
    };
    lines.push(JSON.stringify(record));
    await pictures.write(`release/figures/${hash}_${uri}`, plate.picture);
  }
  const table = "s2_full_figures_oa_nonroco_combined_medical_top4_public.jsonl";
  await mkdir(join(folder, "release"), { recursive: true });
  await writeFile(join(folder, "release", table), text(lines));
}

/** ChestX-ray14: the label table, NIH's lists, `images_001/images/00000001_000.png`. */
export async function writeChestxray14(
  folder: string,
  world: World,
  count: number,
  pictures: PictureWriter,
): Promise<void> {
  const table = [
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position," +
      "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
  ];
  const lists: Record<"train_val" | "test", string[]> = { train_val: [], test: [] };
  const random = randomStream(world.seed, "chestxray14/patients");
  for (let patient = 1, written = 0; written < count; patient++) {
    const visits = Math.min(count - written, 1 + Math.min(3, Math.floor(-Math.log(1 - random.next()))));
    const age = 18 + random.int(70);
    const gender = random.pick(["F", "M"]);
    const list = patient % 5 === 0 ? lists.test : lists.train_val;
    for (let visit = 0; visit < visits; visit++, written++) {
      const name = `${padded(patient, 8)}_${padded(visit, 3)}.png`;
      const { findings, picture } = chestStudy(world, "id", String(patient), visit);
      const labels = findings.map(({ label }) => label).join("|") || "No Finding";
      table.push(`${name},${labels},${visit},${patient},${age + visit},${gender},PA,2500,2500,0.143,0.143`);
      list.push(name);
      // The real dataset holds a few RGBA files among its grey ones.
      await pictures.write(`images_001/images/${name}`, picture, written % 60 === 17 ? "RGBA" : "L");
    }
  }
  await writeFile(join(folder, "Data_Entry_2017_v2020.csv"), text(table));
  await writeFile(join(folder, "train_val_list.txt"), lists.train_val.join("\n"));
  await writeFile(join(folder, "test_list.txt"), lists.test.join("\n"));
}

/** First patient number of each split in the official release. */
const firstPatient = { train: 1, valid: 64_541, test: 64_741 };

/** CheXpert: `CheXpert-v1.0-small/{split}.csv` with `count` studies each, experts' labels in valid and test. */
export async function writeChexpert(
  folder: string,
  world: World,
  count: number,
  pictures: PictureWriter,
): Promise<void> {
  const root = "CheXpert-v1.0-small";
  await mkdir(join(folder, root), { recursive: true });
  for (const [split, first] of Object.entries(firstPatient)) {
    const table = [["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", ...chexpertLabels].join(",")];
    for (let number = 0; number < count; number++) {
      const patient = padded(first + number, 5);
      const random = randomStream(world.seed, "chexpert/table", patient);
      const study = chestStudy(world, "ood", patient, 0);
      const path = `${root}/${split}/patient${patient}/study1/view1_frontal.jpg`;
      const labels = split === "train" ? minedLabels(study, random.next) : expertLabels(study);
      table.push(
        [path, random.pick(["Female", "Male"]), 18 + random.int(70), "Frontal", "AP", ...labels].join(","),
      );
      await pictures.write(path, study.picture);
    }
    await writeFile(join(folder, root, `${split}.csv`), text(table));
  }
}

/** What each finding is called in CheXpert, first its own observation and then those that contain it. */
const observations: Readonly<Record<ChestXray14Label, readonly ChexpertLabel[]>> = {
  Atelectasis: ["Atelectasis", "Lung Opacity"],
  Cardiomegaly: ["Cardiomegaly", "Enlarged Cardiomediastinum"],
  Effusion: ["Pleural Effusion"],
  Infiltration: ["Lung Opacity"],
  Mass: ["Lung Lesion", "Lung Opacity"],
  Nodule: ["Lung Lesion", "Lung Opacity"],
  Pneumonia: ["Pneumonia", "Lung Opacity"],
  Pneumothorax: ["Pneumothorax"],
  Consolidation: ["Consolidation", "Lung Opacity"],
  Edema: ["Edema", "Lung Opacity"],
  Emphysema: [],
  Fibrosis: ["Lung Opacity"],
  Pleural_Thickening: ["Pleural Other"],
  Hernia: ["Enlarged Cardiomediastinum"],
};

function presentIn({ findings, devices }: PatientPicture): ReadonlySet<ChexpertLabel> {
  const present = new Set(findings.flatMap(({ label }) => observations[label]));
  if (findings.length === 0) present.add("No Finding");
  if (devices) present.add("Support Devices");
  return present;
}

function expertLabels(study: PatientPicture): string[] {
  const present = presentIn(study);
  return chexpertLabels.map((label) => (present.has(label) ? "1.0" : "0.0"));
}

/** Labels mined from reports: some findings uncertain, most absent ones not mentioned. */
function minedLabels(study: PatientPicture, chance: () => number): string[] {
  const present = presentIn(study);
  return chexpertLabels.map((label) => {
    const draw = chance();
    if (label === "No Finding") return present.has(label) ? "1.0" : "";
    if (present.has(label)) return draw < 0.85 ? "1.0" : "-1.0";
    return draw < 0.3 ? "0.0" : draw < 0.33 ? "-1.0" : "";
  });
}
