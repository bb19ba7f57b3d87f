import { describe, expect, it } from "vitest";
import {
  adversarialLoss,
  type AdversarialOptions,
  type CentroidSource,
} from "../../nodes/heads/losses/adversarial.ts";
import { multiLabelSets, perLabelBinarySets, singleLabelSets } from "../../nodes/heads/losses/class-sets.ts";
import type { MatrixProduct } from "../../nodes/heads/losses/types.ts";
import { matrix, type Matrix } from "../../nodes/heads/matrix.ts";
import { objective, type ObjectiveOptions, type RanOptions } from "../../nodes/heads/objective.ts";
import { randomStream } from "../../nodes/random.ts";

type Vector = readonly number[];

const width = 4;

/** Rows of labels: a sample without a positive, one with all, unknown ones, and a last label with one class only. */
const labels: readonly Vector[] = [
  [1, 0, 0, 0],
  [0, 1, 1, 0],
  [0, 0, 0, 0],
  [1, 1, -1, 0],
  [-1, 0, 1, 0],
  [0, 1, 0, -1],
];

/** Where a sample stands, by METHOD 8.2 and 15, in numbers of centroids. */
interface Place {
  readonly own: readonly number[];
  readonly others: readonly number[];
  readonly pairs: readonly (readonly [number, number])[];
}

/** Two centroids per label, positives' and negatives': known labels push from the opposite one. */
function binaryPlaces(): Place[] {
  return labels.map((row) => {
    const known = [0, 1, 2, 3].filter((k) => row[k] !== -1);
    const own = known.map((k) => (row[k] === 1 ? 2 * k : 2 * k + 1));
    const others = known.map((k) => (row[k] === 1 ? 2 * k + 1 : 2 * k));
    return { own, others, pairs: own.map((a, i) => [a, others[i] ?? NaN]) };
  });
}

/** Positives against the rest; without a positive, a class of its own. */
function multiPlaces(): Place[] {
  return labels.map((row) => {
    const positives = [0, 1, 2, 3].filter((k) => row[k] === 1);
    const own = positives.length > 0 ? positives : [4];
    const others = [0, 1, 2, 3, 4].filter((k) => !own.includes(k));
    return { own, others, pairs: own.flatMap((a) => others.map((j): [number, number] => [a, j])) };
  });
}

function singlePlaces(classes: Vector): Place[] {
  return classes.map((own) => {
    const others = [0, 1, 2, 3].filter((k) => k !== own);
    return { own: [own], others, pairs: others.map((j) => [own, j]) };
  });
}

const norm = (v: Vector): number => Math.hypot(...v);
const unit = (v: Vector): Vector => v.map((x) => x / norm(v));
const distance = (a: Vector, b: Vector): number => norm(a.map((x, t) => x - (b[t] ?? NaN)));
const angle = (a: Vector, b: Vector): number =>
  Math.acos(unit(a).reduce((sum, x, t) => sum + x * (unit(b)[t] ?? NaN), 0));
const mean = (values: Vector): number => values.reduce((sum, x) => sum + x, 0) / values.length;
const meanVector = (rows: readonly Vector[]): Vector =>
  (rows[0] ?? []).map((_, t) => mean(rows.map((row) => row[t] ?? NaN)));

type Plain = readonly (Vector | undefined)[];

/** The centroids that a source gives for these points; undefined for a class that was never seen. */
function plainCentroids(
  points: readonly Vector[],
  places: readonly Place[],
  source: Source,
  count: number,
): Plain {
  if (source.kind === "given") return source.values;
  return Array.from({ length: count }, (_, k) => {
    const members = points.filter((_point, i) => places[i]?.own.includes(k));
    const before = source.kind === "ema_mean" ? source.previous[k] : undefined;
    if (members.length === 0) return before;
    const now = meanVector(members);
    if (!before || source.kind !== "ema_mean") return now;
    return now.map((x, t) => source.momentum * (before[t] ?? NaN) + (1 - source.momentum) * x);
  });
}

/** L_ADV as METHOD 8.2 writes it: no more than means, distances and angles. */
function reference(
  rows: readonly Vector[],
  places: readonly Place[],
  source: Source,
  count: number,
  { normalize, cap = Infinity, proxWeight }: AdversarialOptions,
): { value: number; distances: number[] } {
  const points = normalize ? rows.map(unit) : rows;
  const centroids = plainCentroids(points, places, source, count);
  const at = (k: number): Vector | undefined => {
    const centroid = centroids[k];
    return centroid && normalize ? unit(centroid) : centroid;
  };
  const distances: number[] = [];
  const terms = places.flatMap(({ own, others, pairs }, i) => {
    const point = points[i] ?? [];
    const seen = (k: number): readonly Vector[] => (at(k) === undefined ? [] : [at(k) as Vector]);
    const pushed = others.flatMap(seen).map((centroid) => distance(point, centroid));
    if (pushed.length === 0 || own.length === 0) return [];
    distances.push(...pushed);
    const angles = pairs.flatMap(([a, j]) => {
      const [one, other] = [at(a), at(j)];
      return one && other ? [angle(one, other)] : [];
    });
    const drawn = own.flatMap(seen).map((centroid) => distance(point, centroid));
    return [
      -mean(pushed.map((d) => Math.min(d, cap))) -
        (angles.length > 0 ? mean(angles) : 0) +
        (proxWeight > 0 ? proxWeight * mean(drawn) : 0),
    ];
  });
  return { value: mean(terms), distances };
}

type Source =
  | { readonly kind: "batch_mean" }
  | { readonly kind: "ema_mean"; readonly previous: Plain; readonly momentum: number }
  | { readonly kind: "given"; readonly values: readonly Vector[] };

const dim = 5;

function vectors(seed: number, count: number): Vector[] {
  const random = randomStream(seed, "losses-test");
  return Array.from({ length: count }, () => Array.from({ length: dim }, () => random.normal()));
}

function asMatrix(rows: readonly Vector[]): Matrix {
  return matrix(rows.length, rows[0]?.length ?? 0, Float64Array.from(rows.flat()));
}

function asSource(source: Source): CentroidSource {
  const valid = (values: Plain): boolean[] => values.map((value) => value !== undefined);
  const filled = (values: Plain): Matrix =>
    asMatrix(values.map((value) => value ?? new Array<number>(dim).fill(0)));
  switch (source.kind) {
    case "batch_mean":
      return source;
    case "ema_mean":
      return {
        ...source,
        previous: { values: filled(source.previous), valid: valid(source.previous) },
      };
    case "given":
      return { kind: "given", centroids: { values: filled(source.values), valid: valid(source.values) } };
  }
}

/** Central differences of a function of rows, one entry after the other. */
function slopes(rows: readonly Vector[], value: (rows: readonly Vector[]) => number): number[] {
  const step = 1e-5;
  return rows.flatMap((row, i) =>
    row.map((_, t) => {
      const moved = (by: number): number =>
        value(rows.map((other, j) => (j === i ? other.with(t, (other[t] ?? NaN) + by) : other)));
      return (moved(step) - moved(-step)) / (2 * step);
    }),
  );
}

function expectGradient(got: Matrix | undefined, wanted: readonly number[]): void {
  expect(got?.data).toHaveLength(wanted.length);
  // A gradient of nothing but zeros would pass where the loss does not depend on the rows.
  expect(Math.max(...wanted.map(Math.abs))).toBeGreaterThan(1e-3);
  for (const [t, slope] of wanted.entries()) expect(got?.data[t]).toBeCloseTo(slope, 7);
}

const flat = labels.flat();
const classes = [0, 1, 2, 0, 3, 1];
const kinds = {
  "per-label binary": { places: binaryPlaces(), sets: perLabelBinarySets(flat, width), count: 8 },
  "multi-label": { places: multiPlaces(), sets: multiLabelSets(flat, width, width), count: 5 },
  "single-label": { places: singlePlaces(classes), sets: singleLabelSets(classes, width), count: 4 },
} as const;

const options: readonly AdversarialOptions[] = [
  { normalize: true, proxWeight: 0 },
  { normalize: false, proxWeight: 0 },
  { normalize: true, cap: 1.3, proxWeight: 0 },
  { normalize: false, cap: 2.4, proxWeight: 0 },
  { normalize: false, cap: 2.4, proxWeight: 0.3 },
];

describe("L_ADV against a plain reading of METHOD 8.2, values and gradients", () => {
  for (const [kind, { places, sets, count }] of Object.entries(kinds)) {
    const known = vectors(3, count);
    const sources: readonly Source[] = [
      { kind: "batch_mean" },
      // The last class has no centroid yet.
      { kind: "ema_mean", momentum: 0.9, previous: [...known.slice(0, -1), undefined] },
      { kind: "given", values: known },
    ];
    for (const source of sources) {
      for (const option of options) {
        it(`${kind}, ${source.kind}, ${JSON.stringify(option)}`, () => {
          const rows = vectors(2, labels.length);
          const wanted = reference(rows, places, source, count, option);
          const got = adversarialLoss(asMatrix(rows), sets, asSource(source), option);
          expect(got.value).toBeCloseTo(wanted.value, 12);
          expectGradient(
            got.dPoints,
            slopes(rows, (moved) => reference(moved, places, source, count, option).value),
          );
          if (source.kind === "given") {
            expectGradient(
              got.dCentroids,
              slopes(
                source.values,
                (values) => reference(rows, places, { kind: "given", values }, count, option).value,
              ),
            );
          }
          if (option.cap === undefined) return;
          // The hinge has both sides here, and no distance so near to it that a difference would straddle it.
          const { cap } = option;
          expect(wanted.distances.some((d) => d > cap)).toBe(true);
          expect(wanted.distances.some((d) => d < cap)).toBe(true);
          expect(Math.min(...wanted.distances.map((d) => Math.abs(d - cap)))).toBeGreaterThan(1e-4);
        });
      }
    }
  }

  it("pushes no further than the cap", () => {
    const far = [
      [9, 0],
      [-9, 0],
    ];
    const sets = singleLabelSets([0, 1], 2);
    const given = asSource({
      kind: "given",
      values: [
        [9, 1],
        [-9, 1],
      ],
    });
    const plain = { normalize: false, proxWeight: 0 };
    const free = adversarialLoss(asMatrix(far), sets, given, plain);
    const capped = adversarialLoss(asMatrix(far), sets, given, { ...plain, cap: 2 });
    const apart = angle([9, 1], [-9, 1]);
    expect(free.value).toBeCloseTo(-Math.hypot(18, 1) - apart, 12);
    expect(capped.value).toBeCloseTo(-2 - apart, 12);
    expect([...capped.dPoints.data]).toEqual([0, 0, 0, 0]);
    expect(Math.abs(free.dPoints.data[0] ?? 0)).toBeGreaterThan(0.4);
  });

  it("is nothing where no sample has a class to be pushed from", () => {
    const rows = vectors(2, 2);
    const everything = multiLabelSets([1, 1, 1, 1], 2, undefined);
    const nothing = multiLabelSets([0, 0, -1, 0], 2, undefined);
    const unknown = perLabelBinarySets([-1, -1, -1, -1], 2);
    for (const sets of [everything, nothing, unknown]) {
      const { value, dPoints } = adversarialLoss(
        asMatrix(rows),
        sets,
        { kind: "batch_mean" },
        { normalize: true, proxWeight: 0.5 },
      );
      expect(value).toBe(0);
      expect(Math.max(...dPoints.data.map(Math.abs))).toBe(0);
    }
  });
});

describe("the whole loss", () => {
  const ran: RanOptions = {
    alpha: 0.3,
    beta: 0.7,
    useMse: true,
    useCov: true,
    useAdv: true,
    mseReduction: "mean_over_batch_sum_dim",
    advFeature: "z",
    advNormalize: true,
    centroids: "batch_mean",
    centroidMomentum: 0.9,
    perLabelBinary: false,
    includeNoFinding: true,
    proxWeight: 0,
  };
  const product: MatrixProduct = (a, b) => {
    const data = new Float64Array(a.rows * b.cols);
    for (let i = 0; i < a.rows; i++) {
      for (let j = 0; j < b.cols; j++) {
        for (let t = 0; t < a.cols; t++) {
          data[i * b.cols + j] =
            (data[i * b.cols + j] ?? 0) + (a.data[i * a.cols + t] ?? NaN) * (b.data[t * b.cols + j] ?? NaN);
        }
      }
    }
    return matrix(a.rows, b.cols, data);
  };
  const logits = asMatrix(vectors(5, labels.length).map((row) => row.slice(0, width)));
  const f = asMatrix(vectors(4, labels.length));

  const readings: readonly Partial<RanOptions>[] = [
    { perLabelBinary: true },
    { advNormalize: false, advCap: 2.4 },
    { perLabelBinary: true, advNormalize: false, advCap: 2.4 },
    { includeNoFinding: false, mseReduction: "mean_all" },
  ];
  for (const reading of readings) {
    it(`adds its terms and their gradients with ${JSON.stringify(reading)}`, () => {
      const all: ObjectiveOptions = { task: "multi-label", outputs: width, ran: { ...ran, ...reading } };
      const only = (term: "useMse" | "useCov" | "useAdv"): ObjectiveOptions => ({
        ...all,
        ran: { ...ran, ...reading, useMse: false, useCov: false, useAdv: false, [term]: true },
      });
      const at = (options: ObjectiveOptions, rows: readonly Vector[]): ReturnType<typeof objective> =>
        objective({ f, z: asMatrix(rows), logits, labels: Int32Array.from(flat) }, options, product, {
          kind: "batch_mean",
        });
      const rows = vectors(2, labels.length);
      const { loss, terms, dZ } = at(all, rows);
      const { task = NaN, mse = NaN, cov = NaN, adv = NaN } = terms;
      expect(loss).toBeCloseTo(task + 0.3 * (mse + cov) + 0.7 * adv, 12);

      // L_COV centres in single precision, which differences this small would show: its own gradient is held to the
      // golden values, and here to being added.
      const onlyCov = at(only("useCov"), rows).dZ;
      const others = [at(only("useMse"), rows).dZ, at(only("useAdv"), rows).dZ];
      for (const [t, whole] of (dZ?.data ?? []).entries()) {
        const sum = [onlyCov, ...others].reduce((total, part) => total + (part?.data[t] ?? NaN), 0);
        expect(whole).toBeCloseTo(sum, 6);
      }
      const smooth = { ...all, ran: { ...ran, ...reading, useCov: false } };
      expectGradient(
        at(smooth, rows).dZ,
        slopes(rows, (moved) => at(smooth, moved).loss),
      );
    });
  }
});
