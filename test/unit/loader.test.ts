import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import type { JsonObject, NodeType } from "../../engine/sdk.ts";
import { dataChestxray14 } from "../../nodes/data-chestxray14.ts";
import { dataChexpert } from "../../nodes/data-chexpert.ts";
import { dataMedicat } from "../../nodes/data-medicat.ts";
import { dataRocov2 } from "../../nodes/data-rocov2.ts";
import { partition, sample } from "../../nodes/data/sample.ts";
import { readImages, readPairs } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

/** A folder with these files; loaders look at names and bytes, and never decode. */
async function dataset(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "ranflow-dataset-"));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
  return root;
}

const images = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, `pixels of ${name}`]));

async function problem(type: NodeType, params: JsonObject, root?: string): Promise<NodeError> {
  const run = runNode(type, { params, ...(root !== undefined && { inputs: { root } }) });
  const error: unknown = await run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(NodeError);
  return error as NodeError;
}

async function pairsOf(type: NodeType, params: JsonObject, root?: string) {
  const run = await runNode(type, { params, ...(root !== undefined && { inputs: { root } }) });
  return { pairs: await readPairs(run.outputs["pairs"]!), logs: run.logs };
}

async function imagesOf(type: NodeType, params: JsonObject, root?: string) {
  const run = await runNode(type, { params, ...(root !== undefined && { inputs: { root } }) });
  return { ...(await readImages(run.outputs["images"]!)), logs: run.logs };
}

const ids = (records: readonly { readonly id: string }[]): string[] => records.map(({ id }) => id);

const roco = {
  "train_captions.csv": "ID,Caption\nR_1, one \nR_2,two\nR_3,three\nR_4,four\n",
  "valid_captions.csv": "ID,Caption\nV_1,five\n",
  ...images(["train/R_1.jpg", "train/R_2.jpg", "train/R_3.jpg", "train/R_4.jpg", "valid/V_1.jpg"]),
};

describe("every loader", () => {
  it("reads a folder outside and the same folder as an artifact alike", async () => {
    const root = await dataset(roco);
    const outside = await pairsOf(dataRocov2, { root });
    const artifact = await pairsOf(dataRocov2, {}, root);
    expect(outside.pairs).toEqual(artifact.pairs);
    expect(ids(outside.pairs)).toEqual(["R_1", "R_2", "R_3", "R_4"]);
    expect(outside.pairs[0]?.caption).toBe("one");
    expect(outside.pairs[0]?.image.size).toBe("pixels of train/R_1.jpg".length);
  });

  it("names in its scan the tables and images that it reads, and no others", async () => {
    const root = await dataset({ ...roco, "notes.txt": "", "train/R_9.jpg": "not in the table" });
    const scan = await dataRocov2.scan?.({
      params: dataRocov2.params.parse({ root, limit: 2 }) as never,
      signal: new AbortController().signal,
      log: () => undefined,
    });
    expect(scan).toEqual({
      dataset: "rocov2",
      root,
      files: ["train_captions.csv", "train/R_1.jpg", "train/R_2.jpg"],
    });
  });

  it("takes a sample by fraction, seed, limit and exclusion, in dataset order", async () => {
    const rows = Array.from({ length: 40 }, (_, i) => `R_${i}`);
    const root = await dataset({
      "train_captions.csv": `ID,Caption\n${rows.map((id) => `${id},text`).join("\n")}\n`,
      ...images(rows.map((id) => `train/${id}.jpg`)),
    });
    const half = ids((await pairsOf(dataRocov2, { root, fraction: 0.5 })).pairs);
    expect(half).toHaveLength(20);
    expect(half).toEqual(rows.filter((id) => half.includes(id)));
    expect(ids((await pairsOf(dataRocov2, { fraction: 0.5 }, root)).pairs)).toEqual(half);
    expect(ids((await pairsOf(dataRocov2, { root, fraction: 0.5, seed: 1 })).pairs)).not.toEqual(half);
    const quarter = ids((await pairsOf(dataRocov2, { root, fraction: 0.25 })).pairs);
    expect(half).toEqual(expect.arrayContaining(quarter));
    expect(ids((await pairsOf(dataRocov2, { root, fraction: 0.5, limit: 3 })).pairs)).toEqual(
      half.slice(0, 3),
    );
    expect(ids((await pairsOf(dataRocov2, { root, limit: 2, exclude: ["R_0"] })).pairs)).toEqual([
      "R_1",
      "R_2",
    ]);
  });

  it("says which images are missing, or skips their records", async () => {
    const { "train/R_2.jpg": _, ...rest } = roco as Record<string, string>;
    const root = await dataset(rest);
    const { message, hint } = await problem(dataRocov2, { root });
    expect(message).toMatch(
      /^1 of 4 images of rocov2 are missing in .*, the first: train\/R_2\.jpg \(record R_2\)$/,
    );
    expect(hint).toMatch(/onMissing: skip/);
    for (const from of [root, undefined]) {
      const skipped = await pairsOf(
        dataRocov2,
        { root: from ?? null, onMissing: "skip" },
        from === undefined ? root : undefined,
      );
      expect(ids(skipped.pairs)).toEqual(["R_1", "R_3", "R_4"]);
      expect(skipped.logs.join("\n")).toMatch(/1 of 4 records have no image/);
    }
    expect(ids((await pairsOf(dataRocov2, { root, onMissing: "skip", limit: 2 })).pairs)).toEqual([
      "R_1",
      "R_3",
    ]);
    expect(ids((await pairsOf(dataRocov2, { root, limit: 1 })).pairs)).toEqual(["R_1"]);
  });

  it("takes an image of zero bytes as missing", async () => {
    const root = await dataset({ ...roco, "train/R_3.jpg": "" });
    expect((await problem(dataRocov2, { root })).message).toMatch(
      /1 of 4 images .* are empty .* train\/R_3\.jpg/,
    );
    expect(ids((await pairsOf(dataRocov2, { root, onMissing: "skip" })).pairs)).toEqual([
      "R_1",
      "R_2",
      "R_4",
    ]);
  });

  it("explains a folder that is missing, empty, another dataset or a part of this one", async () => {
    expect((await problem(dataRocov2, { root: "/nowhere/roco" })).message).toMatch(
      /\/nowhere\/roco, does not exist/,
    );
    const empty = await problem(dataRocov2, { root: await dataset({}) });
    expect(empty.message).toMatch(/is not a rocov2 folder: it is empty/);
    expect(empty.hint).toMatch(/train_captions\.csv/);
    const other = await problem(dataRocov2, { root: await dataset({ "train.csv": "Path\n" }) });
    expect(other.message).toMatch(/it holds train\.csv/);
    const half = await problem(dataRocov2, {
      root: await dataset({ "train_captions.csv": "ID,Caption\na,b\n" }),
    });
    expect(half.message).toMatch(/1 of 1 images/);
    const none = await problem(dataRocov2, {
      root: await dataset({ "train_captions.csv": "ID,Caption\na,b\n" }),
      onMissing: "skip",
    });
    expect(none.message).toMatch(/No record of rocov2 .* is left/);
    const test = await problem(dataRocov2, { root: await dataset(roco), split: "test" });
    expect(test.message).toMatch(/is not a rocov2 folder/);
  });

  it("wants one of the parameter and the input, and not both", async () => {
    const root = await dataset(roco);
    expect((await problem(dataRocov2, {})).message).toMatch(/has no folder to read/);
    expect((await problem(dataRocov2, { root }, root)).message).toMatch(
      /both the parameter root and the input root/,
    );
  });

  it("refuses two records of one id", async () => {
    const root = await dataset({ "train_captions.csv": "ID,Caption\na,b\na,c\n", "train/a.jpg": "x" });
    expect((await problem(dataRocov2, { root })).message).toMatch(
      /record a stands twice in .*train_captions\.csv/,
    );
  });
});

describe("data.rocov2", () => {
  it("reads copies with other folder names and ids with an ending, one level down", async () => {
    const root = await dataset({
      "ROCOv2/valid_captions.csv": '\uFEFFID,Caption\r\nV_1.jpg,"one, two"\r\n',
      "ROCOv2/valid_images/V_1.jpg": "x",
    });
    for (const split of ["val", "valid"]) {
      const { pairs } = await pairsOf(dataRocov2, { root, split });
      expect(pairs).toMatchObject([{ id: "V_1", caption: "one, two" }]);
    }
  });
});

describe("data.medicat", () => {
  const figure = (n: number, fields: object = {}): string =>
    JSON.stringify({
      pdf_hash: `h${n}`,
      fig_uri: `${n}-Figure1-1.png`,
      s2_caption: `Figure ${n}. Lesion ${n}.`,
      s2orc_caption: null,
      radiology: true,
      ...fields,
    });
  const table = "release/s2_full_figures_oa_nonroco_combined_medical_top4_public.jsonl";
  const pictures = (count: number): Record<string, string> =>
    images(Array.from({ length: count }, (_, n) => `release/figures/h${n}_${n}-Figure1-1.png`));

  it("reads figures, with or without the figure's number", async () => {
    const root = await dataset({ [table]: `${figure(0)}\n`, ...pictures(1) });
    expect((await pairsOf(dataMedicat, { root, split: "all" })).pairs).toMatchObject([
      { id: "h0_0-Figure1-1", caption: "Lesion 0." },
    ]);
    const kept = await pairsOf(dataMedicat, { root, split: "all", stripPrefix: false });
    expect(kept.pairs[0]?.caption).toBe("Figure 0. Lesion 0.");
  });

  it.each([
    ["Fig. 2A: Axial CT.", "Axial CT."],
    ["FIGURE 3 | Axial CT.", "Axial CT."],
    ["Supplementary Figure S1. Axial CT.", "Axial CT."],
    ["Fig. 2A-C: Axial CT.", "Axial CT."],
    ["Fig 4 - Axial CT.", "Axial CT."],
    ["Figure 1 X-ray of the chest.", "Figure 1 X-ray of the chest."],
    ["Figure 2: T-weighted MRI.", "T-weighted MRI."],
    ["Figure 1 shows an axial CT.", "Figure 1 shows an axial CT."],
    ["Axial CT, see Figure 2.", "Axial CT, see Figure 2."],
  ])("takes the number off %s", async (s2_caption, expected) => {
    const root = await dataset({ [table]: figure(0, { s2_caption }), ...pictures(1) });
    expect((await pairsOf(dataMedicat, { root, split: "all" })).pairs[0]?.caption).toBe(expected);
  });

  it("falls back on the other caption, and leaves out figures without any or not of radiology", async () => {
    const root = await dataset({
      [table]: [
        figure(0, { s2_caption: null, s2orc_caption: "From the other." }),
        figure(1, { s2_caption: "", s2orc_caption: null }),
        figure(2, { radiology: false }),
        figure(3),
      ].join("\n"),
      ...pictures(4),
    });
    const radiology = await pairsOf(dataMedicat, { root, split: "all" });
    expect(radiology.pairs.map(({ caption }) => caption)).toEqual(["From the other.", "Lesion 3."]);
    expect(radiology.logs.join()).toMatch(/1 figures without a caption/);
    const all = await pairsOf(dataMedicat, { root, split: "all", radiologyOnly: false });
    expect(all.pairs).toHaveLength(3);
  });

  it("deals the figures out by 65, 15 and 20 %, whatever is filtered", async () => {
    const lines = Array.from({ length: 40 }, (_, n) => figure(n, { radiology: n % 2 === 0 }));
    const root = await dataset({ [table]: lines.join("\n"), ...pictures(40) });
    const part = async (split: string, radiologyOnly: boolean): Promise<string[]> =>
      ids((await pairsOf(dataMedicat, { root, split, radiologyOnly })).pairs);
    const [train, val, test] = [
      await part("train", false),
      await part("val", false),
      await part("test", false),
    ];
    expect([train.length, val.length, test.length]).toEqual([26, 6, 8]);
    expect(new Set([...train, ...val, ...test]).size).toBe(40);
    expect(train).toEqual(expect.arrayContaining(await part("train", true)));
  });

  it("names the line that is no figure", async () => {
    const at = async (line: string): Promise<string> =>
      (
        await problem(dataMedicat, {
          root: await dataset({ [table]: `${figure(0)}\n${line}`, ...pictures(1) }),
        })
      ).message;
    expect(await at('{"pdf_hash":"h"')).toMatch(/\.jsonl:2 is not JSON/);
    expect(await at('{"pdf_hash":"h"}')).toMatch(/\.jsonl:2 is no MedICaT figure: pdf_hash and fig_uri/);
    expect(await at('{"pdf_hash":"../h","fig_uri":"f.png"}')).toMatch(/may hold no slash/);
    expect(await at('{"pdf_hash":"h","fig_uri":"f.png","s2_caption":3}')).toMatch(/must be text or null/);
  });
});

describe("data.chestxray14", () => {
  const header =
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position," +
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]";
  const name = (patient: number, visit: number): string =>
    `${String(patient).padStart(8, "0")}_00${visit}.png`;
  const entry = (patient: number, visit: number, findings: string): string =>
    `${name(patient, visit)},${findings},${visit},${patient},50,M,PA,2500,2048,0.1,0.1`;
  const everyone = Array.from({ length: 50 }, (_, patient) => [patient, 0] as const).flatMap(([patient]) => [
    [patient, 0] as const,
    [patient, 1] as const,
  ]);
  const full = {
    "Data_Entry_2017_v2020.csv": `${header}\n${everyone.map(([p, v]) => entry(p, v, "No Finding")).join("\n")}\n`,
    "train_val_list.txt": everyone
      .filter(([p]) => p < 40)
      .map(([p, v]) => name(p, v))
      .join("\n"),
    "test_list.txt": everyone
      .filter(([p]) => p >= 40)
      .map(([p, v]) => name(p, v))
      .join("\n"),
    ...images(everyone.map(([p, v]) => `images_00${1 + (p % 3)}/images/${name(p, v)}`)),
  };
  const patientsOf = (found: readonly string[]): Set<string> => new Set(found.map((id) => id.slice(0, 8)));

  it("maps findings to labels in order, with aliases and with No Finding on demand", async () => {
    const findings = ["Cardiomegaly|Hernia", "No Finding", "Infiltrate|Pleural Thickening", "Mass"];
    const root = await dataset({
      "Data_Entry_2017_v2020.csv": `\uFEFF${header}\r\n${findings.map((f, i) => entry(i, 0, f)).join("\r\n")}\r\n`,
      "train_val_list.txt": findings.map((_, i) => name(i, 0)).join("\n"),
      "test_list.txt": "",
      ...images(findings.map((_, i) => `images/${name(i, 0)}`)),
    });
    // An eighth of four patients rounds to none: all are in the training part.
    const { header: written, records: read } = await imagesOf(dataChestxray14, {
      root,
      partition: "official",
      includeNoFinding: true,
    });
    expect(written).toMatchObject({ dataset: "chestxray14", split: "train" });
    const records = read.map(({ y }) => written.labels.filter((_, index) => y[index] === 1));
    expect(records).toEqual([
      ["Cardiomegaly", "Hernia"],
      ["No Finding"],
      ["Infiltration", "Pleural_Thickening"],
      ["Mass"],
    ]);
  });

  it.each([
    ["image_70_10_20", [70, 10, 20]],
    ["patient_70_10_20", [70, 10, 20]],
    ["official", [70, 10, 20]],
  ])("partitions by %s", async (how, sizes) => {
    const root = await dataset(full);
    const parts = await Promise.all(
      ["train", "val", "test"].map(async (split) =>
        ids((await imagesOf(dataChestxray14, { root, partition: how, split })).records),
      ),
    );
    expect(parts.map((part) => part.length)).toEqual(sizes);
    expect(new Set(parts.flat()).size).toBe(100);
    const patients = parts.map(patientsOf);
    const shared = [...patients[0]!].filter(
      (patient) => patients[1]!.has(patient) || patients[2]!.has(patient),
    );
    if (how === "image_70_10_20") expect(shared).not.toEqual([]);
    else expect(shared).toEqual([]);
    if (how === "official") expect([...patients[2]!].every((patient) => Number(patient) >= 40)).toBe(true);
  });

  it("keeps an image in its part where other images are not at hand", async () => {
    const some = Object.entries(full).filter(([file], index) => !file.endsWith(".png") || index % 3 === 0);
    const whole = ids(
      (await imagesOf(dataChestxray14, { root: await dataset(full), split: "test" })).records,
    );
    const part = await imagesOf(dataChestxray14, {
      root: await dataset(Object.fromEntries(some)),
      split: "test",
      onMissing: "skip",
    });
    expect(part.records.length).toBeGreaterThan(0);
    expect(part.records.length).toBeLessThan(whole.length);
    expect(whole).toEqual(expect.arrayContaining(ids(part.records)));
  });

  it("reads the first release, and prefers the corrected table and a named one to it", async () => {
    const old = `${header},\n${entry(0, 0, "Mass")}\n`;
    const files = { "Data_Entry_2017.csv": old, ...images([`images/${name(0, 0)}`]) };
    const mass = async (more: Record<string, string>, params: JsonObject): Promise<unknown> => {
      const root = await dataset({ ...files, ...more });
      return (await imagesOf(dataChestxray14, { root, ...params })).records[0]?.y[4];
    };
    expect(await mass({}, {})).toBe(1);
    const corrected = `${header}\n${entry(0, 0, "No Finding")}\n`;
    expect(await mass({ "Data_Entry_2017_v2020.csv": corrected }, {})).toBe(0);
    expect(await mass({ "mine/labels.csv": corrected }, { labelFile: "mine/labels.csv" })).toBe(0);
  });

  it("names an unknown finding, a missing column and a missing list", async () => {
    const withTable = (table: string) =>
      dataset({ "Data_Entry_2017_v2020.csv": table, ...images([`images/${name(0, 0)}`]) });
    const unknown = await problem(dataChestxray14, {
      root: await withTable(`${header}\n${entry(0, 0, "Cardiomegally")}\n`),
    });
    expect(unknown.message).toMatch(/Data_Entry_2017_v2020\.csv:2 has the unknown finding "Cardiomegally"/);
    expect(unknown.hint).toBe("Did you mean Cardiomegaly?");
    const column = await problem(dataChestxray14, {
      root: await withTable("Image Index,Finding Label,Patient ID\n"),
    });
    expect(column.message).toMatch(/lacks the column "Finding Labels"/);
    expect(column.hint).toMatch(/"Finding Label" was probably meant/);
    const list = await problem(dataChestxray14, {
      root: await withTable(`${header}\n${entry(0, 0, "Mass")}\n`),
      partition: "official",
    });
    expect(list.message).toMatch(/has no train_val_list\.txt/);
  });
});

describe("data.chexpert", () => {
  const labels =
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia," +
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices";
  const header = `Path,Sex,Age,Frontal/Lateral,AP/PA,${labels}`;
  const path = (patient: number, view = "frontal"): string =>
    `train/patient0000${patient}/study1/view1_${view}.jpg`;
  const table = [
    header,
    `CheXpert-v1.0-small/${path(1)},Female,65,Frontal,AP,,,-1.0,1.0,,0.0,,,,,1.0,,,`,
    `CheXpert-v1.0-small/${path(2, "lateral")},Male,60,Lateral,,1.0,,,,,,,,,,,,,`,
    `CheXpert-v1.0-small/${path(3)},Male,60,Frontal,PA,1.0,,,,,,,,,0.0,,,,`,
  ].join("\n");
  const files = {
    "CheXpert-v1.0-small/train.csv": table,
    ...images([path(1), path(2, "lateral"), path(3)].map((image) => `CheXpert-v1.0-small/${image}`)),
  };

  const answers = async (root: string, params: JsonObject = {}) =>
    (await imagesOf(dataChexpert, { root, split: "train", ...params })).records.map(({ y }) => y);

  it("reads the uncertain and the blank as told", async () => {
    const root = await dataset(files);
    // Cardiomegaly (-1), Lung Opacity (1), Lung Lesion (blank), Edema (0) of the first image.
    const first = async (uncertain: string) => (await answers(root, { uncertain }))[0]?.slice(2, 6);
    expect(await first("u_ones")).toEqual([1, 1, 0, 0]);
    expect(await first("u_zeros")).toEqual([0, 1, 0, 0]);
    expect(await first("u_ignore")).toEqual([null, 1, 0, 0]);
    expect(await first("u_ignore_blank")).toEqual([null, 1, null, 0]);
    // In a healthy study the findings are absent, while devices are not a matter of health.
    expect((await answers(root, { uncertain: "u_ignore_blank" }))[1]).toEqual([
      1,
      ...Array<0>(12).fill(0),
      null,
    ]);
  });

  it("reads frontal views unless told, from the folder, its parent and other names", async () => {
    const root = await dataset(files);
    expect(await answers(root)).toHaveLength(2);
    expect(await answers(root, { frontalOnly: false })).toHaveLength(3);
    expect(await answers(join(root, "CheXpert-v1.0-small"))).toHaveLength(2);
    const bare = Object.entries(files).map(([file, content]) => [
      file.replace("CheXpert-v1.0-small/", ""),
      content,
    ]);
    expect(await answers(await dataset(Object.fromEntries(bare) as Record<string, string>))).toHaveLength(2);
  });

  it("reads the variant with underscores, and a test table of labels alone", async () => {
    const underscored = {
      ...files,
      "CheXpert-v1.0-small/train.csv": table.replace(labels, labels.replaceAll(" ", "_")),
    };
    expect(await answers(await dataset(underscored))).toEqual(await answers(await dataset(files)));
    const image = path(9).replace("train", "test");
    const root = await dataset({
      "CheXpert/test_labels.csv": `Path,${labels}\n${image},${Array(14).fill("1.0").join(",")}\n`,
      ...images([`CheXpert/${image}`]),
    });
    const { header: written, records } = await imagesOf(dataChexpert, { root });
    expect(written).toMatchObject({ dataset: "chexpert", split: "test" });
    expect(records).toMatchObject([{ id: image.replace(".jpg", ""), y: Array<1>(14).fill(1) }]);
  });

  it("explains a split that is not there, a strange path and a strange label", async () => {
    const missing = await problem(dataChexpert, { root: await dataset(files), split: "test" });
    expect(missing.message).toMatch(/has no table of the test split/);
    expect(missing.hint).toMatch(/It has train\.csv/);
    const broken = (from: string, to: string) =>
      dataset({ ...files, "CheXpert-v1.0-small/train.csv": table.replace(from, to) });
    const strange = await problem(dataChexpert, {
      root: await broken("small/train/", "small/other/"),
      split: "train",
    });
    expect(strange.message).toMatch(/train\.csv:2 has the path .* in none of train\/, valid\/ and test\//);
    const label = await problem(dataChexpert, { root: await broken(",-1.0,", ",maybe,"), split: "train" });
    expect(label.message).toMatch(/train\.csv:2 has "maybe" for Cardiomegaly/);
  });

  it("writes val for valid", async () => {
    const valid = Object.entries(files).map(([file, content]) => [
      file.replace("train", "valid"),
      content.replaceAll("/train/", "/valid/"),
    ]);
    const root = await dataset(Object.fromEntries(valid) as Record<string, string>);
    for (const split of ["val", "valid"]) {
      expect((await imagesOf(dataChexpert, { root, split })).header.split).toBe("val");
    }
  });
});

describe("sample and partition", () => {
  it("keeps at least one item, and everything unless told", () => {
    const items = [1, 2, 3];
    expect(sample(items, { fraction: 1, limit: null, seed: 0 })).toBe(items);
    expect(sample(items, { fraction: 0.01, limit: null, seed: 0 })).toHaveLength(1);
    expect(sample([], { fraction: 0.5, limit: 3, seed: 0 })).toEqual([]);
  });

  it("deals out ChestX-ray14 as the paper prints it", () => {
    const parts = partition(112_120, [0.7, 0.1, 0.2], 42);
    const sizes = [0, 0, 0];
    for (const part of parts) sizes[part]!++;
    expect(sizes).toEqual([78_484, 11_212, 22_424]);
    expect(partition(112_120, [0.7, 0.1, 0.2], 42)).toEqual(parts);
    expect(partition(112_120, [0.7, 0.1, 0.2], 43)).not.toEqual(parts);
  });

  it("deals out MedICaT as the paper prints it", () => {
    const sizes = [0, 0, 0];
    for (const part of partition(217_060, [0.65, 0.15, 0.2], 42)) sizes[part]!++;
    expect(sizes).toEqual([141_089, 32_559, 43_412]);
  });
});
