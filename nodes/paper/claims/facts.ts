import type { Scalar } from "../../../engine/sdk.ts";

/** Fields of a record: coordinates of its step, and what the record itself holds. */
export type FactFields = Readonly<Record<string, Scalar>>;

/** Where a fine-tuned head was measured. */
export interface Place {
  readonly noise: string;
  /** Percent of noisy pairs. */
  readonly gamma: number;
  readonly head: string;
  readonly dataset: string;
}

/** Where an attack was measured: with a clean or an adversarial image (or caption). */
export interface ScorePlace {
  readonly model: string;
  readonly of: "image" | "caption";
  readonly which: "clean" | "adversarial";
}

/** Measured (or printed) numbers by what they are about; null where there is none. */
export interface Facts {
  readonly accuracy: (place: Place) => number | null;
  readonly score: (place: ScorePlace) => number | null;
  /** The models whose attacks were measured. */
  readonly models: (of: ScorePlace["of"]) => readonly string[];
}

/** Names of noise that mean none. */
const noNoise = new Set(["none", "clean"]);

/**
 * Sorts records into facts. A record of a fine-tuned head has `gamma`, `head`, `dataset` and mostly `noise`, which is
 * image noise where it is missing (as in the paper's Table 6); one of an attack has `model` and either `image` or
 * `caption`. Others say nothing here. Several records of one place, for instance of several seeds, count with their mean.
 */
export function factsOf(records: readonly FactFields[]): Facts {
  const accuracies = new Map<string, number[]>();
  const scores = new Map<string, number[]>();
  const models = { image: new Set<string>(), caption: new Set<string>() };
  const add = (map: Map<string, number[]>, key: string, value: number): void => {
    map.set(key, [...(map.get(key) ?? []), value]);
  };
  for (const record of records) {
    const value = valueOf(record);
    if (value === null) continue;
    const place = placeOf(record);
    if (place) add(accuracies, placeKey(place), value);
    const score = scorePlaceOf(record);
    if (!score) continue;
    models[score.of].add(score.model);
    add(scores, scoreKey(score), value);
  }
  const accuracy = (place: Place): number | null => mean(accuracies.get(placeKey(place)));
  return {
    // Clean data is clean, whatever noise stands beside it.
    accuracy: (place) =>
      accuracy(place) ?? (place.gamma === 0 ? accuracy({ ...place, noise: "none" }) : null),
    score: (place) => mean(scores.get(scoreKey(place))),
    models: (of) => [...models[of]],
  };
}

/** `value`, as printed tables call it, or else the record's own headline metric. */
function valueOf(record: FactFields): number | null {
  const headline = field(record, "headline");
  const value = field(record, "value") ?? (typeof headline === "string" ? field(record, headline) : null);
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function placeOf(record: FactFields): Place | undefined {
  const [gamma, head, dataset] = ["gamma", "head", "dataset"].map((name) => field(record, name));
  if (typeof head !== "string" || typeof dataset !== "string") return undefined;
  // A label of an axis is text.
  const ratio = gamma === null || gamma === "" ? Number.NaN : Number(gamma);
  if (!Number.isFinite(ratio)) return undefined;
  const noise = String(field(record, "noise") ?? "image");
  return { noise: noNoise.has(noise) ? "none" : noise, gamma: ratio, head, dataset };
}

function scorePlaceOf(record: FactFields): ScorePlace | undefined {
  const model = field(record, "model");
  if (typeof model !== "string") return undefined;
  for (const attacked of ["image", "caption"] as const) {
    const which = field(record, attacked);
    if (which === "clean" || which === "adversarial") return { model, of: attacked, which };
  }
  return undefined;
}

/** A field may be called `constructor`, which every object has. */
function field(record: FactFields, name: string): Scalar {
  return Object.hasOwn(record, name) ? (record[name] ?? null) : null;
}

function placeKey({ dataset, gamma, head, noise }: Place): string {
  return JSON.stringify([noise, gamma, head, dataset]);
}

function scoreKey({ model, of, which }: ScorePlace): string {
  return JSON.stringify([model, of, which]);
}

function mean(values: readonly number[] | undefined): number | null {
  if (!values) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
