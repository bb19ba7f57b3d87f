import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { JsonObject, NodeType } from "../../engine/sdk.ts";
import { dataChestxray14 } from "../../nodes/data-chestxray14.ts";
import { dataChexpert } from "../../nodes/data-chexpert.ts";
import { dataMedicat } from "../../nodes/data-medicat.ts";
import { dataRocov2 } from "../../nodes/data-rocov2.ts";
import { dataSlake } from "../../nodes/data-slake.ts";
import { dataVqaRad } from "../../nodes/data-vqa-rad.ts";
import { clipEmbedQuestions } from "../../nodes/clip-embed-questions.ts";
import { evaluateVqa } from "../../nodes/evaluate-vqa.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import { vqaTrain } from "../../nodes/vqa-train.ts";
import { decodeForModel, decodeImage } from "../../nodes/data/images.ts";
import { readCsv } from "../../nodes/data/csv.ts";
import type { ImageLabels } from "../../nodes/formats.ts";
import {
  readImages,
  readMetrics,
  readPairs,
  readQuestions,
  readTable,
  writePairs,
} from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

const realdata = resolve(
  process.env["RANFLOW_REALDATA"] ?? join(import.meta.dirname, "../../../shared/realdata"),
);
const rootOf = (name: string): string => join(realdata, name);
const roco = rootOf("rocov2");
const medicat = rootOf("medicat_surrogate_from_rocov2");
const nih = rootOf("nih_chestxray14");
const chexpert = rootOf("chexpert_surrogate_from_nih");
const rad = rootOf("vqa_rad");
const slake = rootOf("slake_surrogate_from_nih_rocov2");
const slakeTexts = rootOf("slake_annotations_no_images");
const absent = (root: string): boolean => !existsSync(root);

async function output(type: NodeType, params: JsonObject): Promise<string> {
  return Object.values((await runNode(type, { params })).outputs)[0]!;
}

describe.skipIf(absent(roco))(`ROCOv2 (skipped without ${roco})`, () => {
  it.each([
    ["train", 360],
    ["valid", 100],
    ["test", 100],
  ])("reads the %s split", async (split, count) => {
    const pairs = await readPairs(await output(dataRocov2, { root: roco, split }));
    expect(pairs).toHaveLength(count);
    for (const { id, caption, image } of pairs) {
      expect(id).toMatch(new RegExp(`^ROCOv2_2023_${split}_\\d{6}$`));
      expect(caption).toBe(caption.trim());
      expect(caption.split(/\s+/).length).toBeGreaterThan(1);
      expect(image.size).toBeGreaterThan(0);
    }
    // Multiplication signs, degrees, curly quotes: the captions are not ASCII.
    expect(pairs.some(({ caption }) => /[^\x20-\x7e]/.test(caption))).toBe(true);
  });

  it("decodes both modes", async () => {
    const table = { path: join(roco, "IMAGES_PRESENT.csv"), name: "IMAGES_PRESENT.csv" };
    const rows = await readCsv(table, { required: ["path", "width", "height", "mode"] });
    const seen = new Map<string, number>();
    for (const { fields } of rows) {
      const done = seen.get(fields.mode) ?? 0;
      if (done >= 10) continue;
      seen.set(fields.mode, done + 1);
      const image = await decodeImage(join(roco, fields.path));
      expect(image).toMatchObject({ width: +fields.width, height: +fields.height, mode: fields.mode });
    }
    expect([...seen.keys()].toSorted()).toEqual(["L", "RGB"]);
  });
});

describe.skipIf(absent(medicat))(`MedICaT, surrogate (skipped without ${medicat})`, () => {
  it("reads every figure once, in three splits, without the figures' numbers", async () => {
    const read = async (split: string) => readPairs(await output(dataMedicat, { root: medicat, split }));
    const all = await read("all");
    const parts = [await read("train"), await read("val"), await read("test")];
    expect(all).toHaveLength(140);
    expect(parts.map((part) => part.length)).toEqual([91, 21, 28]);
    expect(new Set(parts.flat().map(({ id }) => id))).toEqual(new Set(all.map(({ id }) => id)));
    for (const { caption } of all) expect(caption).not.toMatch(/^Figure \d/);
  });

  it("falls back where the other caption is null", async () => {
    const other = await readPairs(
      await output(dataMedicat, {
        root: medicat,
        split: "all",
        caption: "s2orc_caption",
        stripPrefix: false,
      }),
    );
    expect(other).toHaveLength(140);
    for (const { caption } of other) expect(caption).toMatch(/^Figure \d/);
  });
});

describe.skipIf(absent(nih))(`ChestX-ray14 (skipped without ${nih})`, () => {
  const read = async (params: JsonObject) =>
    readImages(await output(dataChestxray14, { root: nih, ...params }));

  it("reads the 112,120 rows of the whole table", async () => {
    const table = { path: join(nih, "Data_Entry_2017_v2020.csv"), name: "Data_Entry_2017_v2020.csv" };
    const rows = await readCsv(table, { required: ["Image Index", "Finding Labels", "Patient ID"] });
    expect(rows).toHaveLength(112_120);
    expect(new Set(rows.map(({ fields }) => fields["Patient ID"])).size).toBe(30_805);
  });

  it.each(["image_70_10_20", "patient_70_10_20", "official"])(
    "finds the 361 images by %s",
    async (partition) => {
      const records: ImageLabels[] = [];
      for (const split of ["train", "val", "test"]) {
        const { header, records: part } = await read({ split, partition, onMissing: "skip" });
        expect(header).toMatchObject({ dataset: "chestxray14", split });
        if (partition === "official" && split === "test") expect(part).toHaveLength(48);
        records.push(...part);
      }
      expect(new Set(records.map(({ id }) => id)).size).toBe(361);
      expect(records).toHaveLength(361);
      // Every finding is somewhere, also the one NIH spells with an underscore.
      for (let label = 0; label < 14; label++) expect(records.some(({ y }) => y[label] === 1)).toBe(true);
    },
  );

  it("reads the cut-down table, whose images are all there", async () => {
    const labelFile = "subset/Data_Entry_2017_v2020.csv";
    const { header, records } = await read({
      labelFile,
      partition: "official",
      split: "test",
      includeNoFinding: true,
    });
    expect(records).toHaveLength(48);
    expect(header.labels).toHaveLength(15);
    // No Finding is the answer exactly where there is no other.
    for (const { y } of records) expect(y[14]).toBe(y.slice(0, 14).includes(1) ? 0 : 1);
  });

  it("says how many images are missing where none may be", async () => {
    await expect(read({ split: "test" })).rejects.toThrow(/22361 of 22424 images of chestxray14 are missing/);
  });

  it("decodes NIH's RGBA images as the grey that they show", async () => {
    const path = join(nih, "images_001/images/00000100_000.png");
    const image = await decodeImage(path);
    expect(image.mode).toBe("RGBA");
    const rgb = await decodeForModel(path, 64);
    for (let i = 0; i < rgb.length; i += 3) expect([rgb[i + 1], rgb[i + 2]]).toEqual([rgb[i], rgb[i]]);
    expect(new Set(rgb).size).toBeGreaterThan(32);
  });
});

describe.skipIf(absent(chexpert))(`CheXpert, surrogate (skipped without ${chexpert})`, () => {
  const read = async (params: JsonObject) =>
    readImages(await output(dataChexpert, { root: chexpert, ...params }));

  it("reads train and valid, and has no test split", async () => {
    expect((await read({ split: "train" })).records).toHaveLength(160);
    const { header, records } = await read({ split: "valid" });
    expect(header.split).toBe("val");
    expect(records).toHaveLength(40);
    await expect(read({ split: "test" })).rejects.toThrow(/has no table of the test split/);
  });

  it("reads doubt as told", async () => {
    const count = (records: readonly ImageLabels[], value: 0 | 1 | null): number =>
      records.reduce((sum, { y }) => sum + y.filter((answer) => answer === value).length, 0);
    const ones = (await read({ split: "train", uncertain: "u_ones" })).records;
    const zeros = (await read({ split: "train", uncertain: "u_zeros" })).records;
    const ignored = (await read({ split: "train", uncertain: "u_ignore" })).records;
    const uncertain = count(ignored, null);
    expect(uncertain).toBeGreaterThan(0);
    expect(count(ones, 1) - count(zeros, 1)).toBe(uncertain);
    expect(count(zeros, 0) - count(ones, 0)).toBe(uncertain);
    const blank = (await read({ split: "train", uncertain: "u_ignore_blank" })).records;
    expect(count(blank, null)).toBeGreaterThan(uncertain);
    // Experts were never in doubt.
    expect(count((await read({ split: "valid", uncertain: "u_ignore_blank" })).records, null)).toBe(0);
  });
});

describe.skipIf(absent(rad))(`VQA-RAD (skipped without ${rad})`, () => {
  it.each([
    ["train", 1797, 1027],
    ["test", 451, 272],
  ])("reads the %s split", async (split, count, closed) => {
    const { header, records } = await readQuestions(await output(dataVqaRad, { root: rad, split }));
    expect(header).toEqual({ dataset: "vqa-rad", split });
    expect(records).toHaveLength(count);
    expect(records.filter(({ answerType }) => answerType === "closed")).toHaveLength(closed);
    for (const { question, answer } of records) {
      expect(question).not.toBe("");
      expect(answer).not.toBe("");
    }
  });

  it("answers the closed questions of the test split, and says which answers it has learnt", async () => {
    const load = (split: string, folder?: string) =>
      runNode(dataVqaRad, { params: { root: rad, split }, ...(folder !== undefined && { folder }) });
    const { folder, outputs } = await load("train");
    const run = async (type: NodeType, params: JsonObject, inputs: Record<string, string>) =>
      (await runNode(type, { params, inputs, folder, backend: "wasm" })).outputs;
    const questions = {
      train: outputs["questions"]!,
      test: (await load("test", folder)).outputs["questions"]!,
    };
    const captions = join(folder, "captions.jsonl");
    const { records } = await readQuestions(questions.train);
    await writePairs(
      captions,
      records.map(({ id, image, question }) => ({ id, image, caption: question })),
    );
    const arch = {
      embed_dim: 16,
      vision_cfg: { image_size: 16, layers: 1, width: 16, head_width: 8, patch_size: 8 },
      text_cfg: { context_length: 48, vocab_size: 1024, width: 16, heads: 2, layers: 1 },
    };
    const { model: clip } = await run(modelClip, { arch, vocab: "learned" }, { captions });
    const embed = async (path: string): Promise<string> =>
      (await run(clipEmbedQuestions, {}, { model: clip!, questions: path }))["tokens"]!;
    const { model } = await run(
      vqaTrain,
      { method: "ran", layers: 1, width: 16, heads: 2, epochs: 3, learningRate: 2e-3, headFactor: 2 },
      { train: await embed(questions.train) },
    );
    const test = await embed(questions.test);
    const { metrics, predictions } = await run(evaluateVqa, {}, { model: model!, tokens: test });
    const measured = await readMetrics(metrics!);
    expect(measured).toMatchObject({ dataset: "vqa-rad", split: "test", domain: "id", n: 272 });
    const rows = await readTable(predictions!);
    expect(rows).toHaveLength(272);
    // Answers that are written in many ways are one: 251 of the 272 are yes or no.
    expect(rows.filter(({ answer }) => answer === "yes" || answer === "no")).toHaveLength(251);
    expect(rows.filter(({ learnt }) => learnt === false).length / 272).toBeCloseTo(
      1 - (measured["coverage"] as number),
      10,
    );
    expect(measured["accDrop"]).toBeGreaterThan(0.4);
  });
});

describe.skipIf(absent(slake))(`SLAKE, surrogate (skipped without ${slake})`, () => {
  it("reads every English question once, with images of one split alone", async () => {
    const splits = await Promise.all(
      ["train", "val", "test"].map(
        async (split) => (await readQuestions(await output(dataSlake, { root: slake, split }))).records,
      ),
    );
    expect(splits.flat()).toHaveLength(534);
    expect(new Set(splits.flat().map(({ id }) => id)).size).toBe(534);
    const images = splits.map((records) => [...new Set(records.map(({ image }) => image.digest))]);
    expect(new Set(images.flat()).size).toBe(images.flat().length);
  });
});

describe.skipIf(absent(slakeTexts))(`SLAKE's texts (skipped without ${slakeTexts})`, () => {
  it("says that the images of the real dataset are missing", async () => {
    await expect(output(dataSlake, { root: slakeTexts })).rejects.toThrow(
      /4919 of 4919 images of slake are missing/,
    );
  });
});
