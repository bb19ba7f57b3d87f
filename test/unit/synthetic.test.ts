import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { JsonObject, NodeType } from "../../engine/sdk.ts";
import { dataChestxray14 } from "../../nodes/data-chestxray14.ts";
import { dataChexpert } from "../../nodes/data-chexpert.ts";
import { dataMedicat } from "../../nodes/data-medicat.ts";
import { dataRocov2 } from "../../nodes/data-rocov2.ts";
import { dataSlake } from "../../nodes/data-slake.ts";
import { dataSynthetic } from "../../nodes/data-synthetic.ts";
import { dataVqaRad } from "../../nodes/data-vqa-rad.ts";
import { decodeImage } from "../../nodes/data/images.ts";
import { chestxray14Labels } from "../../nodes/data/label-names.ts";
import type { ChestXray14Label } from "../../nodes/data/label-names.ts";
import { chestCaption } from "../../nodes/data/phantom/captions.ts";
import { expose } from "../../nodes/data/phantom/canvas.ts";
import { drawChest } from "../../nodes/data/phantom/chest.ts";
import { radQuestions, slakeQuestions } from "../../nodes/data/phantom/questions.ts";
import { chestStudy } from "../../nodes/data/phantom/studies.ts";
import type { Finding } from "../../nodes/data/phantom/finding.ts";
import { randomStream } from "../../nodes/random.ts";
import { readImages, readPairs, readQuestions } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";
import type { NodeRun } from "../rig/run-node.ts";

const small = { pairs: 20, targets: 12, cxr: 70, chexpert: 8, slake: 30, vqaRad: 20, imageSize: 32 };
let world: NodeRun;
beforeAll(async () => {
  world = await runNode(dataSynthetic, { params: small, seed: 3 });
});

async function load(type: NodeType, output: string, params: JsonObject = {}): Promise<string> {
  const run = await runNode(type, { params, inputs: { root: world.outputs[output]! }, folder: world.folder });
  return Object.values(run.outputs)[0]!;
}

async function filesBelow(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(
        async (file) => [file.slice(folder.length + 1), (await readFile(file)).toString("base64")] as const,
      ),
    ),
  );
}

describe("data.synthetic", () => {
  it("writes what the loaders of the real datasets read", async () => {
    const pairs = await readPairs(await load(dataRocov2, "rocov2"));
    expect(pairs).toHaveLength(20);
    expect(await readPairs(await load(dataRocov2, "rocov2", { split: "val" }))).toHaveLength(4);
    expect(await readPairs(await load(dataMedicat, "medicat", { split: "all" }))).toHaveLength(12);
    for (const split of ["train", "valid", "test"]) {
      const { records } = await readImages(await load(dataChexpert, "chexpert", { split }));
      expect(records).toHaveLength(8);
    }
    for (const partition of ["image_70_10_20", "official"]) {
      let total = 0;
      for (const split of ["train", "val", "test"]) {
        total += (await readImages(await load(dataChestxray14, "chestxray14", { split, partition }))).records
          .length;
      }
      expect(total).toBe(70);
    }
  });

  it("gives every finding both answers, also in a test split of few images", async () => {
    const { header, records } = await readImages(await load(dataChestxray14, "chestxray14"));
    expect(header.labels).toEqual(chestxray14Labels);
    header.labels.forEach((_, index) => {
      expect(new Set(records.map(({ y }) => y[index]))).toEqual(new Set([0, 1]));
    });
  });

  it("labels CheXpert's training studies with doubt and its expert splits without", async () => {
    const train = (
      await readImages(await load(dataChexpert, "chexpert", { split: "train", uncertain: "u_ignore_blank" }))
    ).records;
    expect(train.some(({ y }) => y.includes(null))).toBe(true);
    const valid = (
      await readImages(await load(dataChexpert, "chexpert", { split: "valid", uncertain: "u_ignore_blank" }))
    ).records;
    expect(valid.some(({ y }) => y.includes(null))).toBe(false);
  });

  it("asks questions whose splits, languages and closed answers are those of the real datasets", async () => {
    const splits = await Promise.all(
      ["train", "val", "test"].map((split) => load(dataSlake, "slake", { split }).then(readQuestions)),
    );
    const images = splits.map(({ records }) => [...new Set(records.map(({ image }) => image.digest))]);
    expect(images.map((of) => of.length)).toEqual([21, 5, 4]);
    expect(new Set(images.flat()).size).toBe(30);
    const closed = splits[0]!.records.filter(({ answerType }) => answerType === "closed");
    expect(new Set(closed.map(({ answer }) => answer))).toEqual(new Set(["Yes", "No", "Left", "Right"]));
    const chinese = await readQuestions(await load(dataSlake, "slake", { lang: "zh" }));
    expect(chinese.records.map(({ answer }) => answer)).toContain("X光");
    const [train, test] = await Promise.all(
      ["train", "test"].map((split) => load(dataVqaRad, "vqaRad", { split }).then(readQuestions)),
    );
    expect(train!.records.length).toBeGreaterThan(2 * test!.records.length);
    expect(test!.records.length).toBeGreaterThan(0);
  });

  it("answers by what is drawn, yes and no alike where both can be", () => {
    const random = randomStream(1, "test");
    const effusion: Finding = { label: "Effusion", side: "left", zone: "lower", severity: "mild" };
    for (let i = 0; i < 30; i++) {
      for (const ask of [
        slakeQuestions({ part: "Chest", modality: "X-Ray", findings: [effusion] }, random),
        radQuestions([effusion], random),
      ]) {
        const answers = new Map(ask.map(({ answer, question }) => [question, answer.toLowerCase()]));
        const about = [...answers].filter(([question]) => /effusion/.test(question));
        const [side, there] = [true, false].map((sided) =>
          about.filter(([question]) => /left/.test(question) === sided).map(([, answer]) => answer),
        );
        expect(side).toEqual(["left"]);
        expect(there).toEqual(["yes"]);
        const findings = [...answers].filter(([question]) =>
          /^(Is there .*|Is .* present|Do you see .*)\?$/.test(question),
        );
        expect(findings.filter(([, answer]) => answer === "no").length).toBeGreaterThanOrEqual(1);
        const enlarged = [...answers].find(([question]) => /enlarged|cardiomegaly/.test(question));
        expect(enlarged?.[1]).toBe("no");
      }
    }
  });

  it("writes images of the asked size in the modes of the real datasets", async () => {
    const modes = new Set<string>();
    for (const [output, folder] of Object.entries(world.outputs)) {
      for (const file of (await filesBelow(folder)).keys()) {
        if (!/\.(png|jpg)$/.test(file)) continue;
        const image = await decodeImage(join(folder, file));
        expect(Math.min(image.width, image.height)).toBe(32);
        modes.add(`${output} ${image.mode}`);
      }
    }
    expect([...modes].toSorted()).toEqual([
      "chestxray14 L",
      "chestxray14 RGBA",
      "chexpert L",
      "medicat L",
      "rocov2 L",
      "rocov2 RGB",
      "slake RGB",
      "vqaRad RGB",
    ]);
  });

  it("writes the same bytes for the same seed and others for another", async () => {
    const again = await runNode(dataSynthetic, { params: small, seed: 3 });
    const other = await runNode(dataSynthetic, { params: small, seed: 4 });
    for (const [output, folder] of Object.entries(world.outputs)) {
      expect(await filesBelow(again.outputs[output]!)).toEqual(await filesBelow(folder));
      expect(await filesBelow(other.outputs[output]!)).not.toEqual(await filesBelow(folder));
    }
  });

  it("keeps a picture whatever the size of the world around it", async () => {
    const larger = await runNode(dataSynthetic, {
      params: { ...small, pairs: 25, cxr: 80, slake: 33, vqaRad: 21 },
      seed: 3,
    });
    for (const output of ["rocov2", "chestxray14", "slake", "vqaRad"]) {
      const before = await filesBelow(world.outputs[output]!);
      const after = await filesBelow(larger.outputs[output]!);
      for (const [file, bytes] of before) if (/\.(png|jpg)$/.test(file)) expect(after.get(file)).toBe(bytes);
    }
  });

  it("reports every picture, and stops when told", async () => {
    const total = 20 + 2 * 4 + 12 + 70 + 3 * 8 + 30 + 20;
    expect(world.progress.at(-1)).toEqual({ done: total, total });
    const stop = new AbortController();
    stop.abort();
    await expect(runNode(dataSynthetic, { params: small, signal: stop.signal })).rejects.toThrow(/abort/i);
  });
});

describe("phantom radiographs", () => {
  const finding = (label: ChestXray14Label): Finding => ({
    label,
    side: "left",
    zone: "mid",
    severity: "severe",
  });
  const style = { heart: 1, sloppiness: 1, lung: 0.2, tissue: 0.6 };
  const draw = (findings: readonly Finding[]) => {
    const random = randomStream(5, "test");
    const options = { width: 48, height: 48, findings, contrast: 1, style, devices: false };
    return drawChest(options, random);
  };

  it.each(chestxray14Labels)("shows %s", (label) => {
    const [healthy, ill] = [draw([]).data, draw([finding(label)]).data];
    const changed = healthy.filter((density, index) => Math.abs(density - ill[index]!) > 0.03).length;
    // Something of at least a nodule's size, while the rest of the picture stays as it was.
    expect(changed).toBeGreaterThan(8);
    expect(changed).toBeLessThan(48 * 48 * 0.3);
  });

  it("draws a finding on its side: the patient's left is on the right", () => {
    const change = (side: "left" | "right"): number => {
      const [healthy, ill] = [draw([]).data, draw([{ ...finding("Consolidation"), side }]).data];
      let balance = 0;
      healthy.forEach(
        (density, index) => (balance += Math.abs(ill[index]! - density) * (index % 48 < 24 ? -1 : 1)),
      );
      return balance;
    };
    expect(change("left")).toBeGreaterThan(1);
    expect(change("right")).toBeLessThan(-1);
  });

  it("keeps a patient's findings over visits", () => {
    const settings = { seed: 1, imageSize: 24, difficulty: 0.5 };
    for (const patient of ["a", "b", "c", "d"]) {
      const [first, second] = [0, 1].map((visit) => chestStudy(settings, "id", patient, visit).findings);
      expect(first).toEqual(expect.arrayContaining([...second!]));
    }
  });

  it("makes labels that a linear rule on pixels learns, but not all, and fewer as difficulty grows", () => {
    const easy = linearRuleAuc(0.1);
    const usual = linearRuleAuc(0.5);
    const hard = linearRuleAuc(0.9);
    expect(usual).toBeGreaterThan(0.6);
    expect(usual).toBeLessThan(0.9);
    expect(easy).toBeGreaterThan(usual + 0.02);
    expect(hard).toBeLessThan(usual - 0.02);
  });

  it("exposes to 8 bits around the wanted density", () => {
    const canvas = { width: 2, height: 1, data: Float32Array.from([0.5, 2]) };
    const exposure = { centre: 0.5, contrast: 1, grain: 0, clouds: 0 };
    expect([...expose(canvas, exposure, randomStream(1, "test"))]).toEqual([128, 255]);
  });

  it("tells side, degree and finding in the caption", () => {
    const random = randomStream(2, "test");
    const findings: Finding[] = [
      { label: "Effusion", side: "right", zone: "lower", severity: "mild" },
      { label: "Cardiomegaly", side: "left", zone: "mid", severity: "severe" },
    ];
    for (let i = 0; i < 20; i++) {
      const caption = chestCaption(findings, false, random);
      expect(caption).toMatch(/right/);
      expect(caption).not.toMatch(/left/);
      expect(caption).toMatch(/effusion|costophrenic/);
      expect(caption).toMatch(/cardi/);
      expect(caption).toMatch(/\.$/);
    }
    expect(chestCaption([], false, random)).toMatch(/normal|clear|no consolidation|without/i);
    expect(chestCaption([], true, random)).toMatch(/catheter/);
  });
});

/**
 * Macro AUC on 200 new patients of the rule that projects on the difference of the class means of 200 others. Pixels
 * are standardised one by one.
 */
function linearRuleAuc(difficulty: number): number {
  const settings = { seed: 9, imageSize: 16, difficulty };
  const studies = Array.from({ length: 400 }, (_, patient) => chestStudy(settings, "id", String(patient), 0));
  const pixels = studies.map(({ picture }) => Float64Array.from(picture.data));
  const train = pixels.slice(0, 200);
  const size = 16 * 16;
  const mean = Array.from({ length: size }, (_, i) => average(train.map((x) => x[i]!)));
  const deviation = mean.map((m, i) => Math.sqrt(average(train.map((x) => (x[i]! - m) ** 2))) + 1);
  const z = pixels.map((x) => x.map((value, i) => (value - mean[i]!) / deviation[i]!));
  const aucs = chestxray14Labels.map((label) => {
    const y = studies.map(({ findings }) => findings.some((finding) => finding.label === label));
    const centre = (wanted: boolean) => {
      const members = z.slice(0, 200).filter((_, index) => y[index] === wanted);
      return Array.from({ length: size }, (_, i) => average(members.map((x) => x[i]!)));
    };
    const [positive, negative] = [centre(true), centre(false)];
    const scores = z
      .slice(200)
      .map((x) => x.reduce((sum, value, i) => sum + value * (positive[i]! - negative[i]!), 0));
    return auc(scores, y.slice(200));
  });
  return average(aucs);
}

const average = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Share of (positive, negative) pairs in the right order. */
function auc(scores: readonly number[], y: readonly boolean[]): number {
  const positives = scores.filter((_, index) => y[index]);
  const negatives = scores.filter((_, index) => !y[index]);
  const right = positives.flatMap((p) => negatives.map((n) => (p > n ? 1 : p === n ? 0.5 : 0)));
  return average(right);
}
