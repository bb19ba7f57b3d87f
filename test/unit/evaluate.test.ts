import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../engine/sdk.ts";
import { evaluateClassification } from "../../nodes/evaluate-classification.ts";
import { writeFeatures } from "../../nodes/features.ts";
import type { HeadHeader, MetricsRecord } from "../../nodes/formats.ts";
import { writeHead } from "../../nodes/heads/head.ts";
import { randomStream } from "../../nodes/random.ts";
import { readMetrics, readTable, type TableRow } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

const chestxray14 = (
  "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumonia Pneumothorax Consolidation Edema " +
  "Emphysema Fibrosis Pleural_Thickening Hernia"
).split(" ");
const chexpert = [
  "No Finding",
  "Enlarged Cardiomediastinum",
  "Cardiomegaly",
  "Lung Opacity",
  "Lung Lesion",
  "Edema",
  "Consolidation",
  "Pneumonia",
  "Atelectasis",
  "Pneumothorax",
  "Pleural Effusion",
  "Pleural Other",
  "Fracture",
  "Support Devices",
];

/** The seven findings that both datasets label, each by its name in either. */
const shared = [
  ["Atelectasis", "Atelectasis"],
  ["Cardiomegaly", "Cardiomegaly"],
  ["Effusion", "Pleural Effusion"],
  ["Pneumonia", "Pneumonia"],
  ["Pneumothorax", "Pneumothorax"],
  ["Consolidation", "Consolidation"],
  ["Edema", "Edema"],
] as const;

/** A linear head whose outputs are the features themselves: a sample's feature k is its logit of label k. */
async function plainHead(header: Partial<HeadHeader> = {}): Promise<string> {
  const labels = header.labels ?? chestxray14;
  const size = labels.length;
  const folder = await mkdtemp(join(tmpdir(), "ranflow-head-"));
  const identity = Float32Array.from({ length: size * size }, (_, t) => Number(t % (size + 1) === 0));
  await writeHead(folder, {
    header: {
      method: "probe",
      task: "multi-label",
      dataset: "chestxray14",
      dim: size,
      hidden: 0,
      residual: false,
      batchNorm: false,
      thresholds: labels.map(() => 0.5),
      ...header,
      labels,
    },
    shape: { dim: size, hidden: 0, residual: false, batchNorm: false, outputs: size },
    weights: new Map([
      ["classifier.weight", identity],
      ["classifier.bias", new Float32Array(size)],
    ]),
  });
  return folder;
}

interface Samples {
  readonly dataset: string;
  readonly labels: readonly string[];
  /** A row of features per sample. */
  readonly logits: readonly (readonly number[])[];
  /** A row of labels per sample. */
  readonly truth: readonly (readonly number[])[];
}

async function stored({ dataset, labels, logits, truth }: Samples): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-features-"));
  const ids = logits.map((_, row) => `s${row}`);
  const header = { dataset, split: "test", labels, ids, feature: "projected" as const };
  await writeFeatures(folder, header, Float32Array.from(logits.flat()), Int32Array.from(truth.flat()));
  return folder;
}

/** Random logits in quarters, so that ties and a probability of exactly one half occur; labels with unknown ones. */
function samples(dataset: string, labels: readonly string[], width: number, count = 30): Samples {
  const random = randomStream(5, "evaluate-test", dataset);
  const row = <T>(length: number, value: () => T): T[] => Array.from({ length }, value);
  return {
    dataset,
    labels,
    logits: row(count, () => row(width, () => (random.int(13) - 6) / 4)),
    truth: row(count, () => row(labels.length, () => (random.next() < 0.1 ? -1 : random.int(2)))),
  };
}

async function evaluate(
  head: string,
  features: Samples,
  params: JsonObject = {},
): Promise<{ metrics: MetricsRecord; predictions: readonly TableRow[] }> {
  const inputs = { head, features: await stored(features) };
  const { outputs } = await runNode(evaluateClassification, { params, inputs });
  return {
    metrics: await readMetrics(outputs["metrics"] ?? ""),
    predictions: await readTable(outputs["predictions"] ?? ""),
  };
}

const probability = (logit: number): number => 1 / (1 + Math.exp(-logit));

/** AUC by comparing every positive with every negative, accuracy by counting. */
function measured(
  scores: readonly number[],
  truth: readonly number[],
  threshold = 0.5,
): { auc: number; acc: number } {
  let pairs = 0;
  let right = 0;
  for (const [i, positive] of scores.entries()) {
    for (const [j, negative] of scores.entries()) {
      if (truth[i] !== 1 || truth[j] !== 0) continue;
      pairs++;
      right += positive > negative ? 1 : positive === negative ? 0.5 : 0;
    }
  }
  const known = scores.flatMap((score, i) => ((truth[i] ?? -1) < 0 ? [] : [{ score, label: truth[i] }]));
  const hits = known.filter(({ score, label }) => (score >= threshold ? 1 : 0) === label);
  return { auc: right / pairs, acc: hits.length / known.length };
}

const column = (rows: readonly (readonly number[])[], k: number): number[] =>
  rows.map((row) => row[k] ?? NaN);
const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
const namesOf = (metrics: MetricsRecord): string[] =>
  Object.keys(metrics).flatMap((key) => (key.startsWith("auc.") ? [key.slice(4)] : []));

describe("evaluate.classification", () => {
  it("compares the seven shared findings out of domain", async () => {
    const data = samples("chexpert", chexpert, chestxray14.length);
    const { metrics } = await evaluate(await plainHead(), data);

    const expected = shared.map(([ours, theirs]) => ({
      name: ours,
      truth: column(data.truth, chexpert.indexOf(theirs)),
      ...measured(
        column(data.logits, chestxray14.indexOf(ours)).map(probability),
        column(data.truth, chexpert.indexOf(theirs)),
      ),
    }));
    expect(metrics).toMatchObject({ dataset: "chexpert", split: "test", domain: "ood", headline: "auc" });
    expect(metrics).toMatchObject({ n: 30, labels: 7, excluded: 0, excludedLabels: "" });
    expect(namesOf(metrics).toSorted()).toEqual(shared.map(([ours]) => ours).toSorted());
    for (const { name, auc, acc } of expected) {
      expect(metrics[`auc.${name}`], name).toBeCloseTo(auc, 12);
      expect(metrics[`acc.${name}`], name).toBeCloseTo(acc, 12);
    }
    expect(metrics["auc"]).toBeCloseTo(mean(expected.map(({ auc }) => auc)), 12);
    expect(metrics["acc"]).toBeCloseTo(mean(expected.map(({ acc }) => acc)), 12);
    const competition = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion"];
    expect(metrics["aucCompetition"]).toBeCloseTo(
      mean(competition.map((name) => metrics[`auc.${name}`] as number)),
      12,
    );
    const shares = expected.map(({ truth }) => mean(truth.filter((label) => label >= 0)));
    expect(metrics["prevalence"]).toBeCloseTo(mean(shares), 12);
  });

  it("matches the same findings when trained on CheXpert", async () => {
    const head = await plainHead({ dataset: "chexpert", labels: chexpert });
    const data = samples("chestxray14", chestxray14, chexpert.length);
    const { metrics } = await evaluate(head, data);
    expect(metrics["domain"]).toBe("ood");
    expect(namesOf(metrics).toSorted()).toEqual(shared.map(([, theirs]) => theirs).toSorted());
    const logits = column(data.logits, chexpert.indexOf("Pleural Effusion"));
    const truth = column(data.truth, chestxray14.indexOf("Effusion"));
    expect(metrics["auc.Pleural Effusion"]).toBeCloseTo(measured(logits, truth).auc, 12);
  });

  it("compares all labels in domain, each at the head's own threshold", async () => {
    const thresholds = chestxray14.map((_, k) => probability((k - 7) / 4 + 1 / 8));
    const data = samples("chestxray14", chestxray14, chestxray14.length);
    const { metrics } = await evaluate(await plainHead({ thresholds }), data, { headline: "acc" });
    expect(metrics).toMatchObject({ domain: "id", headline: "acc", labels: 14 });
    expect(namesOf(metrics)).toEqual(chestxray14);
    for (const [k, name] of chestxray14.entries()) {
      const scores = column(data.logits, k).map(probability);
      const { auc, acc } = measured(scores, column(data.truth, k), thresholds[k]);
      expect(metrics[`auc.${name}`], name).toBeCloseTo(auc, 12);
      expect(metrics[`acc.${name}`], name).toBeCloseTo(acc, 12);
    }
  });

  it("takes a probability equal to the threshold as positive", async () => {
    const head = await plainHead({ labels: ["Edema"] });
    const data = {
      dataset: "chestxray14",
      labels: ["Edema"],
      logits: [[0], [0], [-1]],
      truth: [[1], [1], [0]],
    };
    expect((await evaluate(head, data)).metrics["acc"]).toBe(1);
  });

  it("adds weak counterparts by the largest of several outputs", async () => {
    const data = samples("chexpert", chexpert, chestxray14.length);
    const { metrics } = await evaluate(await plainHead(), data, { labelMap: "extended" });
    const weak: Readonly<Record<string, readonly string[]>> = {
      "Lung Lesion": ["Mass", "Nodule"],
      "Lung Opacity": ["Infiltration", "Consolidation", "Pneumonia", "Edema", "Atelectasis"],
      "Pleural Other": ["Pleural_Thickening"],
    };
    expect(namesOf(metrics).toSorted()).toEqual(
      [...shared.map(([ours]) => ours), ...Object.keys(weak)].toSorted(),
    );
    for (const [name, from] of Object.entries(weak)) {
      const scores = data.logits.map((row) =>
        probability(Math.max(...from.map((label) => row[chestxray14.indexOf(label)] ?? NaN))),
      );
      const { auc, acc } = measured(scores, column(data.truth, chexpert.indexOf(name)));
      expect(metrics[`auc.${name}`], name).toBeCloseTo(auc, 12);
      expect(metrics[`acc.${name}`], name).toBeCloseTo(acc, 12);
    }
  });

  it("scores No Finding by the head's own output, or by what its largest one leaves", async () => {
    const data = samples("chexpert", chexpert, chestxray14.length);
    const truth = column(data.truth, 0);
    const { metrics } = await evaluate(await plainHead(), data, { noFinding: true });
    expect(metrics["labels"]).toBe(8);
    const left = data.logits.map((row) => 1 - probability(Math.max(...row)));
    expect(metrics["auc.No Finding"]).toBeCloseTo(measured(left, truth).auc, 12);
    expect(metrics["acc.No Finding"]).toBeCloseTo(measured(left, truth).acc, 12);

    const labels = [...chestxray14, "No Finding"];
    const wider = samples("chexpert", chexpert, labels.length);
    const own = (await evaluate(await plainHead({ labels }), wider, { noFinding: true })).metrics;
    const scores = column(wider.logits, labels.length - 1);
    expect(own["auc.No Finding"]).toBeCloseTo(measured(scores, column(wider.truth, 0)).auc, 12);
    const without = (await evaluate(await plainHead({ labels }), wider)).metrics;
    expect(namesOf(without)).not.toContain("No Finding");
  });

  it("leaves labels with one class out of the mean AUC, counts them, and keeps their accuracy", async () => {
    const labels = ["Edema", "Mass", "Hernia"];
    const data = {
      dataset: "chestxray14",
      labels,
      logits: [
        [1, 1, -1],
        [-1, 1, -1],
        [2, -1, -1],
        [0.5, -1, -1],
      ],
      truth: [
        [1, 0, -1],
        [0, 0, -1],
        [0, 0, -1],
        [1, -1, -1],
      ],
    };
    const { metrics } = await evaluate(await plainHead({ labels }), data);
    expect(metrics).toMatchObject({ labels: 3, excluded: 2, excludedLabels: "Mass, Hernia" });
    // Edema: positives 1 and 0.5 over the negative -1, below the negative 2.
    expect(metrics).toMatchObject({ "auc.Edema": 0.5, "auc.Mass": null, "auc.Hernia": null, auc: 0.5 });
    // Mass: one of the three that are known; Hernia: nothing is known.
    expect(metrics).toMatchObject({ "acc.Edema": 0.75, "acc.Mass": 1 / 3, "acc.Hernia": null });
    expect(metrics["acc"]).toBeCloseTo((0.75 + 1 / 3) / 2, 12);
    expect(metrics["prevalence"]).toBeCloseTo((0.5 + 0) / 2, 12);
    expect(metrics).not.toHaveProperty("aucCompetition");
  });

  it("writes probability and label of each compared label, one row per sample", async () => {
    const data = samples("chexpert", chexpert, chestxray14.length, 6);
    const { predictions } = await evaluate(await plainHead(), data);
    expect(predictions.map(({ id }) => id)).toEqual(["s0", "s1", "s2", "s3", "s4", "s5"]);
    for (const [row, prediction] of predictions.entries()) {
      expect(Object.keys(prediction)).toHaveLength(1 + 2 * shared.length);
      for (const [ours, theirs] of shared) {
        const logit = data.logits[row]?.[chestxray14.indexOf(ours)] ?? NaN;
        expect(prediction[`p.${ours}`]).toBeCloseTo(probability(logit), 8);
        const label = data.truth[row]?.[chexpert.indexOf(theirs)] ?? NaN;
        expect(prediction[`y.${ours}`]).toBe(label < 0 ? null : label);
      }
    }
    // The draw has to hold an unknown label, or the line above has not seen one.
    expect(predictions.flatMap((row) => Object.values(row))).toContain(null);
  });

  it("takes the largest score of a single-label head, and leaves samples without a known class out", async () => {
    const labels = ["a", "b", "c"];
    const head = await plainHead({ labels, task: "single-label" });
    const logits = [
      [3, 1, 2],
      [0, 2, 1],
      [0, 1, 1],
      [5, 1, 0],
    ];
    const truth = [
      [1, 0, 0],
      [0, 0, 1],
      [0, 1, 0],
      [-1, -1, -1],
    ];
    const { metrics, predictions } = await evaluate(head, { dataset: "chestxray14", labels, logits, truth });
    expect(metrics["acc"]).toBeCloseTo(2 / 3, 12);
    const powers = [3, 1, 2].map(Math.exp);
    const sum = powers.reduce((total, power) => total + power, 0);
    for (const [k, name] of labels.entries()) {
      expect(predictions[0]?.[`p.${name}`]).toBeCloseTo((powers[k] ?? NaN) / sum, 6);
    }
  });

  it("gives both means an interval where asked for, and is else what it was", async () => {
    const cases = [
      {
        head: await plainHead({ labels: ["Edema", "Mass"] }),
        features: samples("own", ["Edema", "Mass"], 2),
      },
      {
        head: await plainHead({ labels: ["a", "b"], task: "single-label" }),
        features: {
          ...samples("own", ["a", "b"], 2),
          truth: Array.from({ length: 30 }, (_, row) =>
            row % 3 === 0 ? [1, 0] : row % 7 === 0 ? [0, 0] : [0, 1],
          ),
        },
      },
    ];
    for (const { head, features } of cases) {
      const plain = await evaluate(head, features);
      const { metrics } = await evaluate(head, features, { bootstrap: 300 });
      const { accHigh, accLow, aucHigh, aucLow, ...rest } = metrics;
      expect(rest).toEqual(plain.metrics);
      for (const [low, middle, high] of [
        [aucLow, rest["auc"], aucHigh],
        [accLow, rest["acc"], accHigh],
      ]) {
        expect(Number(low)).toBeLessThan(Number(middle));
        expect(Number(high)).toBeGreaterThan(Number(middle));
      }
      expect((await evaluate(head, features, { bootstrap: 300 })).metrics).toEqual(metrics);
    }
  });

  it("refuses what cannot be compared, naming both sides", async () => {
    const head = await plainHead({ labels: ["Edema", "Mass"] });
    const row = { dataset: "other", logits: [[0, 0]], truth: [[1, 0]] };
    await expect(
      evaluate(head, { ...row, labels: ["Edema", "Mass"], logits: [[0, 0, 0]] }),
    ).rejects.toMatchObject({
      message: "the head takes features of 2 values, and these have 3",
      hint: expect.stringContaining("the model that the head was trained with") as string,
    });
    await expect(evaluate(head, { ...row, labels: ["Fracture", "No Finding"] })).rejects.toMatchObject({
      message:
        "the head's labels (Edema, Mass) and those of the features (Fracture, No Finding) have nothing in common",
      hint: expect.stringContaining("shares labels") as string,
    });
    await expect(
      evaluate(head, { ...row, labels: ["Mass", "Edema"] }, { labelMap: "identity" }),
    ).rejects.toMatchObject({
      message: "labelMap identity: the head has the labels Edema, Mass, and the features Mass, Edema",
      hint: expect.stringContaining("labelMap shared") as string,
    });
    await expect(
      evaluate(head, { dataset: "other", labels: ["Edema", "Mass"], logits: [], truth: [] }),
    ).rejects.toMatchObject({ message: "the features (other, test) hold no sample" });
  });
});
