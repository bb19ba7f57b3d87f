import { describe, expect, it } from "vitest";
import { fitThresholds } from "../../nodes/heads/thresholds.ts";
import { argmaxAccuracy, shareRight, thresholdVerdicts } from "../../nodes/metrics/accuracy.ts";
import { rocAuc } from "../../nodes/metrics/auc.ts";
import { macroMean } from "../../nodes/metrics/macro.ts";
import { accuracyThreshold, youdenThreshold } from "../../nodes/metrics/threshold.ts";
import { randomStream } from "../../nodes/random.ts";

/** Scores with many ties, and labels of which some are unknown. */
function drawn(seed: number): { scores: number[]; labels: number[] } {
  const random = randomStream(seed, "metrics-test");
  const rows = Array.from({ length: 40 }, () => ({ score: random.int(12) / 11, label: random.int(5) - 1 }));
  return {
    scores: rows.map(({ score }) => score),
    labels: rows.map(({ label }) => (label < 0 ? -1 : label % 2)),
  };
}

function counts(
  scores: number[],
  labels: number[],
  threshold: number,
): { tp: number; fp: number; p: number; n: number } {
  const where = (label: number, from: number): number =>
    scores.filter((score, i) => labels[i] === label && score >= from).length;
  return {
    tp: where(1, threshold),
    fp: where(0, threshold),
    p: where(1, -Infinity),
    n: where(0, -Infinity),
  };
}

describe("rocAuc", () => {
  it("counts a tie between a positive and a negative as one half", () => {
    // Pairs (positive, negative): (0.4, 0.4) ties, (0.4, 0.1), (0.8, 0.4) and (0.8, 0.1) are right.
    expect(rocAuc([0.4, 0.8, 0.4, 0.1], [1, 1, 0, 0])).toBe(3.5 / 4);
    expect(rocAuc([0.3, 0.3, 0.3, 0.3], [1, 0, 0, 1])).toBe(0.5);
    expect(rocAuc([0.9, 0.1], [0, 1])).toBe(0);
  });

  it("is the share of right pairs, whatever ties and unknown labels there are", () => {
    for (let seed = 0; seed < 20; seed++) {
      const { scores, labels } = drawn(seed);
      let right = 0;
      let pairs = 0;
      for (const [i, positive] of scores.entries()) {
        for (const [j, negative] of scores.entries()) {
          if (labels[i] !== 1 || labels[j] !== 0) continue;
          pairs++;
          right += positive > negative ? 1 : positive === negative ? 0.5 : 0;
        }
      }
      expect(rocAuc(scores, labels)).toBeCloseTo(right / pairs, 12);
    }
  });

  it("has no value where one class occurs, or none", () => {
    expect(rocAuc([0.1, 0.9], [1, 1])).toBeNull();
    expect(rocAuc([0.1, 0.9], [0, 0])).toBeNull();
    expect(rocAuc([0.1, 0.9], [1, null])).toBeNull();
    expect(rocAuc([], [])).toBeNull();
  });
});

describe("accuracy", () => {
  it("takes a score equal to the threshold as positive", () => {
    expect(accuracyAt([0.5, 0.5, 0.4], [1, 0, 0], 0.5)).toBe(2 / 3);
    expect(accuracyAt([0.5, 0.5, 0.4], [1, 0, 0], 0.5 + Number.EPSILON)).toBe(2 / 3);
    expect(accuracyAt([0.5, 0.5], [1, 1], 0.5)).toBe(1);
    expect(accuracyAt([0.5, 0.5], [1, 1], 0.5 + Number.EPSILON)).toBe(0);
  });

  it("counts known labels only, and labels with one class too", () => {
    expect(accuracyAt([0.9, 0.9, 0.1], [1, -1, null], 0.5)).toBe(1);
    expect(accuracyAt([0.9, 0.1], [0, 0], 0.5)).toBe(0.5);
    expect(accuracyAt([0.9], [-1], 0.5)).toBeNull();
  });

  it("takes the first of equally large scores", () => {
    expect(argmaxAccuracy([0.2, 0.4, 0.4, 0.6, 0.2, 0.2], [1, 0], 3)).toBe(1);
    expect(argmaxAccuracy([0.2, 0.4, 0.4], [2], 3)).toBe(0);
    expect(argmaxAccuracy([], [], 3)).toBeNull();
  });
});

describe("macroMean", () => {
  it("leaves labels without a value out and names them", () => {
    expect(macroMean([0.5, null, 0.7, null])).toEqual({ mean: 0.6, excluded: [1, 3] });
    expect(macroMean([null])).toEqual({ mean: null, excluded: [0] });
  });
});

describe("fitted thresholds", () => {
  // From high to low: 0.9 +, 0.8 -, 0.7 +, 0.6 +, 0.4 -, 0.3 -, 0.2 -, 0.1 +
  const scores = [0.6, 0.9, 0.2, 0.8, 0.1, 0.7, 0.3, 0.4];
  const labels = [1, 1, 0, 0, 1, 1, 0, 0];

  it("maximises Youden's J", () => {
    // At 0.6: 3 of 4 positives and 1 of 4 negatives.
    expect(youdenThreshold(scores, labels)).toEqual({ threshold: 0.6, objective: 0.5 });
  });

  it("maximises accuracy", () => {
    expect(accuracyThreshold(scores, labels)).toEqual({ threshold: 0.6, objective: 6 / 8 });
    // The one positive in third place costs as many errors inside as outside, and J wants it in.
    const rare = [0, 0, 1, 0, 0, 0];
    const falling = [0.9, 0.8, 0.7, 0.3, 0.2, 0.1];
    expect(accuracyThreshold(falling, rare)).toEqual({ threshold: 0.9, objective: 4 / 6 });
    expect(youdenThreshold(falling, rare)).toEqual({ threshold: 0.7, objective: 1 - 2 / 5 });
  });

  it("takes the highest of equally good ones, exactly", () => {
    // J is 3/5 - 1/5 at 0.9 and 4/5 - 2/5 at 0.5: equal, but not in floating point.
    const falling = [0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4];
    const truth = [1, 1, 1, 0, 1, 0, 1, 0, 0, 0];
    expect(youdenThreshold(falling, truth)).toEqual({ threshold: 0.9, objective: 0.4 });
  });

  it("is the best of all candidates, with ties and unknown labels", () => {
    for (let seed = 0; seed < 20; seed++) {
      const data = drawn(seed);
      const rules = [
        { fit: youdenThreshold, value: ({ tp, fp, p, n }: ReturnType<typeof counts>) => tp / p - fp / n },
        {
          fit: accuracyThreshold,
          value: ({ tp, fp, p, n }: ReturnType<typeof counts>) => (tp + n - fp) / (p + n),
        },
      ];
      for (const { fit, value } of rules) {
        const found = fit(data.scores, data.labels);
        const all = data.scores.map((at) => value(counts(data.scores, data.labels, at)));
        expect(found?.objective).toBeCloseTo(Math.max(...all), 12);
        expect(value(counts(data.scores, data.labels, found?.threshold ?? NaN))).toBeCloseTo(
          found?.objective ?? NaN,
          12,
        );
      }
    }
  });

  it("has nothing to fit where one class occurs", () => {
    expect(youdenThreshold([0.1, 0.9], [1, 1])).toBeUndefined();
    expect(accuracyThreshold([0.1, 0.9], [0, -1])).toBeUndefined();
  });

  it("fits each label by itself, and keeps 0.5 for labels with one class", () => {
    const columns = [scores, scores.map((score) => 1 - score), scores];
    const truths = [labels, labels.map((label) => 1 - label), labels.map(() => 0)];
    const matrix = {
      rows: 8,
      cols: 3,
      data: Float64Array.from({ length: 24 }, (_, t) => columns[t % 3]?.[Math.floor(t / 3)] ?? NaN),
    };
    const truth = Int32Array.from({ length: 24 }, (_, t) => truths[t % 3]?.[Math.floor(t / 3)] ?? NaN);
    expect(fitThresholds("0.5", matrix, truth)).toEqual([0.5, 0.5, 0.5]);
    // Of the mirrored scores 1 - 0.4 is the least that lets 3 of 4 in and 1 of 4.
    expect(fitThresholds("youden_val", matrix, truth)).toEqual([0.6, 0.6, 0.5]);
    expect(fitThresholds("best_acc_val", matrix, truth)).toEqual([0.6, 0.6, 0.5]);
  });
});

function accuracyAt(
  scores: readonly number[],
  labels: readonly (number | null)[],
  threshold: number,
): number | null {
  return shareRight(thresholdVerdicts(scores, labels, threshold));
}
