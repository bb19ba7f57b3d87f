import { describe, expect, it } from "vitest";
import { argmaxAccuracy, shareRight, thresholdVerdicts } from "../../nodes/metrics/accuracy.ts";
import { matrix, normalizeRows, type Matrix } from "../../nodes/heads/matrix.ts";
import { rocAuc } from "../../nodes/metrics/auc.ts";
import { clipScore, rowCosines } from "../../nodes/metrics/cosines.ts";
import { macroMean } from "../../nodes/metrics/macro.ts";
import { ensemble, pairScores } from "../../nodes/metrics/zero-shot.ts";
import { youdenThreshold } from "../../nodes/metrics/threshold.ts";
import { goldenCases, goldenJson } from "../rig/golden.ts";

type Rows<T> = readonly (readonly T[])[];

interface Metrics {
  readonly multilabel: {
    readonly scores: Rows<number>;
    readonly labels: Rows<number>;
    readonly auc_per_label: readonly (number | null)[];
    readonly excluded_labels: readonly number[];
    readonly macro_auc: number;
    readonly "acc_at_0.5_per_label_ge": readonly number[];
    readonly macro_acc_all_labels_ge: number;
    readonly macro_acc_excluding_single_class_ge: number;
    readonly youden_max_J: readonly (number | null)[];
  };
  readonly multilabel_null: {
    readonly scores: Rows<number>;
    readonly labels: Rows<number | null>;
    readonly auc_per_label: readonly (number | null)[];
    readonly macro_auc: number;
  };
  readonly binary_2000: {
    readonly scores: readonly number[];
    readonly labels: readonly number[];
    readonly auc: number;
  };
  readonly multiclass: {
    readonly logits: Rows<number>;
    readonly labels: readonly number[];
    readonly accuracy: number;
    readonly macro_ovr_auc_softmax: number;
    readonly auc_per_class: Readonly<Record<string, number>>;
  };
  readonly zeroshot_pair: {
    readonly image_features: Rows<number>;
    readonly pos_text_features: Rows<number>;
    readonly neg_text_features: Rows<number>;
    readonly labels: Rows<number>;
    readonly p_pos_no_temperature: Rows<number>;
    readonly auc_per_label: readonly number[];
    readonly acc_per_label: readonly number[];
  };
  readonly clip_score: {
    readonly a: Rows<number>;
    readonly b: Rows<number>;
    readonly cos: readonly number[];
    readonly mean_cos_scale1: number;
    readonly "clipscore_2.5_max0": number;
  };
  readonly prompt_ensemble: {
    readonly template_features: Rows<number>;
    readonly ensembled_normalised: readonly number[];
  };
}

const digits = 12;

describe.skipIf(goldenCases("metrics/").length === 0)("golden metrics (skipped where absent)", () => {
  for (const golden of goldenCases("metrics/")) {
    const [role = ""] = Object.keys(golden.files);
    const metrics = goldenJson<Metrics>(golden, role);

    it(`${golden.id}: multi-label AUC with ties, one-class labels excluded and reported`, () => {
      const { scores, labels, ...expected } = metrics.multilabel;
      const aucs = columns(scores).map((column, k) => rocAuc(column, columns(labels)[k] ?? []));
      expectClose(aucs, expected.auc_per_label);
      const macro = macroMean(aucs);
      expect(macro.mean).toBeCloseTo(expected.macro_auc, digits);
      expect(macro.excluded).toEqual(expected.excluded_labels);
    });

    it(`${golden.id}: accuracy counts a score equal to the threshold as positive`, () => {
      const { scores, labels, ...expected } = metrics.multilabel;
      const accuracies = columns(scores).map((column, k) =>
        binaryAccuracy(column, columns(labels)[k] ?? [], 0.5),
      );
      expectClose(accuracies, expected["acc_at_0.5_per_label_ge"]);
      expect(macroMean(accuracies).mean).toBeCloseTo(expected.macro_acc_all_labels_ge, digits);
      const twoClass = accuracies.filter((_, k) => !expected.excluded_labels.includes(k));
      expect(macroMean(twoClass).mean).toBeCloseTo(expected.macro_acc_excluding_single_class_ge, digits);
    });

    it(`${golden.id}: Youden's J at its best threshold`, () => {
      const { scores, labels, ...expected } = metrics.multilabel;
      const best = columns(scores).map((column, k) => youdenThreshold(column, columns(labels)[k] ?? []));
      expectClose(
        best.map((fit) => fit?.objective ?? null),
        expected.youden_max_J,
      );
    });

    it(`${golden.id}: unknown labels are left out`, () => {
      const { scores, labels, ...expected } = metrics.multilabel_null;
      const aucs = columns(scores).map((column, k) => rocAuc(column, columns(labels)[k] ?? []));
      expectClose(aucs, expected.auc_per_label);
      expect(macroMean(aucs).mean).toBeCloseTo(expected.macro_auc, digits);
    });

    it(`${golden.id}: one label of many samples`, () => {
      const { scores, labels, auc } = metrics.binary_2000;
      expect(rocAuc(scores, labels)).toBeCloseTo(auc, digits);
    });

    it(`${golden.id}: multi-class accuracy and one-versus-rest AUC`, () => {
      const { logits, labels, ...expected } = metrics.multiclass;
      const width = logits[0]?.length ?? 0;
      expect(argmaxAccuracy(logits.flat(), labels, width)).toBeCloseTo(expected.accuracy, digits);
      const aucs = columns(logits.map(softmax)).map((column, k) =>
        rocAuc(
          column,
          labels.map((label) => (label === k ? 1 : 0)),
        ),
      );
      expect(macroMean(aucs).mean).toBeCloseTo(expected.macro_ovr_auc_softmax, digits);
      for (const [k, auc] of Object.entries(expected.auc_per_class)) {
        expect(aucs[Number(k)]).toBeCloseTo(auc, digits);
      }
    });

    it(`${golden.id}: zero-shot scores from pairs of texts`, () => {
      const { labels, ...expected } = metrics.zeroshot_pair;
      const images = normalizeRows(matrixOf(expected.image_features)).unit;
      const scores = expected.pos_text_features.map((positive, k) =>
        pairScores(
          images,
          ensemble(matrixOf([positive])),
          ensemble(matrixOf([expected.neg_text_features[k] as readonly number[]])),
        ),
      );
      scores.forEach((column, k) =>
        expectClose([...column], columns(expected.p_pos_no_temperature)[k] ?? []),
      );
      expectClose(
        scores.map((column, k) => rocAuc(column, columns(labels)[k] ?? [])),
        expected.auc_per_label,
      );
      expectClose(
        scores.map((column, k) => binaryAccuracy(column, columns(labels)[k] ?? [], 0.5)),
        expected.acc_per_label,
      );
    });

    it(`${golden.id}: CLIP score, as a cosine and as CLIPScore has it`, () => {
      const { a, b, ...expected } = metrics.clip_score;
      const cosines = [...rowCosines(matrixOf(a), matrixOf(b))];
      cosines.forEach((value, row) => expect(value).toBeCloseTo(expected.cos[row] as number, 6));
      const mean = (scale: 1 | 2.5): number =>
        cosines.reduce((sum, value) => sum + clipScore(value, scale), 0) / cosines.length;
      expect(mean(1)).toBeCloseTo(expected.mean_cos_scale1, 6);
      expect(mean(2.5)).toBeCloseTo(expected["clipscore_2.5_max0"], 6);
    });

    it(`${golden.id}: several texts as one direction`, () => {
      const { ensembled_normalised, template_features } = metrics.prompt_ensemble;
      expectClose([...ensemble(matrixOf(template_features))], ensembled_normalised);
    });
  }
});

function matrixOf(rows: Rows<number>): Matrix {
  return matrix(rows.length, rows[0]?.length ?? 0, Float64Array.from(rows.flat()));
}

function columns<T>(rows: Rows<T>): T[][] {
  return (rows[0] ?? []).map((_, k) => rows.map((row) => row[k] as T));
}

function softmax(row: readonly number[]): number[] {
  const max = Math.max(...row);
  const powers = row.map((x) => Math.exp(x - max));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function expectClose(got: readonly (number | null)[], expected: readonly (number | null)[]): void {
  expect(got.map((value) => value === null)).toEqual(expected.map((value) => value === null));
  got.forEach((value, k) => value !== null && expect(value).toBeCloseTo(expected[k] as number, digits));
}

function binaryAccuracy(
  scores: ArrayLike<number>,
  labels: readonly number[],
  threshold: number,
): number | null {
  return shareRight(thresholdVerdicts(scores, labels, threshold));
}
