import { describe, expect, it } from "vitest";
import { shareRight } from "../../nodes/metrics/accuracy.ts";
import { rocAuc, weightedAuc } from "../../nodes/metrics/auc.ts";
import { bootstrapIntervals } from "../../nodes/metrics/bootstrap.ts";
import { randomStream } from "../../nodes/random.ts";

const settings = { bootstrap: 2000, confidence: 0.95, seed: 7 };

describe("bootstrapIntervals", () => {
  const random = randomStream(1, "bootstrap-test");
  const values = Array.from({ length: 400 }, () => 3 + 2 * random.normal());
  const mean = (weights: ArrayLike<number>): number =>
    values.reduce((sum, value, i) => sum + (weights[i] as number) * value, 0) / values.length;

  it("is the normal interval of a mean, where items are many", () => {
    const plain = mean(values.map(() => 1));
    const variance = values.reduce((sum, value) => sum + (value - plain) ** 2, 0) / values.length;
    const margin = (1.96 * Math.sqrt(variance)) / Math.sqrt(values.length);
    const { mLow, mHigh } = bootstrapIntervals(values.length, (weights) => ({ m: mean(weights) }), settings);
    expect(Number(mLow)).toBeGreaterThan(plain - 1.15 * margin);
    expect(Number(mLow)).toBeLessThan(plain - 0.85 * margin);
    expect(Number(mHigh)).toBeGreaterThan(plain + 0.85 * margin);
    expect(Number(mHigh)).toBeLessThan(plain + 1.15 * margin);
  });

  it("draws as many items as there are, the same for the same seed", () => {
    const totals = new Set<number>();
    const measure = (weights: Uint32Array) => {
      totals.add(weights.reduce((sum, weight) => sum + weight, 0));
      return { m: mean(weights) };
    };
    const few = { ...settings, bootstrap: 50 };
    const one = bootstrapIntervals(values.length, measure, few);
    expect(totals).toEqual(new Set([values.length]));
    expect(bootstrapIntervals(values.length, measure, few)).toEqual(one);
    expect(bootstrapIntervals(values.length, measure, { ...few, seed: 8 })).not.toEqual(one);
    const narrow = bootstrapIntervals(values.length, measure, { ...few, confidence: 0.5 });
    expect(Number(narrow["mLow"])).toBeGreaterThan(Number(one["mLow"]));
  });

  it("leaves out resamples without a value, and says nothing without resamples", () => {
    let resample = 0;
    const measure = () => ({ some: resample++ % 2 === 0 ? 1 : null, none: null });
    expect(bootstrapIntervals(3, measure, { ...settings, bootstrap: 9 })).toEqual({
      someLow: 1,
      someHigh: 1,
      noneLow: null,
      noneHigh: null,
    });
    expect(bootstrapIntervals(3, measure, { ...settings, bootstrap: 0 })).toEqual({});
  });
});

describe("weights", () => {
  it("count samples as often as they would stand there", () => {
    const random = randomStream(2, "weights-test");
    const scores = Array.from({ length: 30 }, () => random.int(9));
    const labels = scores.map(() => random.int(3) - 1);
    const auc = weightedAuc(scores, labels);
    for (let round = 0; round < 10; round++) {
      const weights = scores.map(() => random.int(4));
      const repeat = <T>(items: readonly T[]): T[] =>
        items.flatMap((item, i) => Array.from({ length: weights[i] as number }, () => item));
      expect(auc(weights)).toBe(rocAuc(repeat(scores), repeat(labels)));
      expect(shareRight(Int8Array.from(labels), weights)).toBe(shareRight(Int8Array.from(repeat(labels))));
    }
    expect(auc(scores.map(() => 0))).toBeNull();
  });
});
