import type { FeaturesHeader, MetricsRecord } from "../formats.ts";
import type { Features } from "../features.ts";
import type { TableRow } from "../records.ts";
import { binaryAccuracy } from "./accuracy.ts";
import { rocAuc } from "./auc.ts";
import { canonicalLabel, competitionLabels } from "./label-map.ts";
import { macroMean } from "./macro.ts";

/** A label with its scores, its truth and how well they agree. */
export interface MeasuredLabel {
  readonly name: string;
  /** Score per sample; larger means more likely there. */
  readonly scores: Float64Array;
  /** 1, 0, or -1 for unknown, per sample. */
  readonly labels: Int32Array;
  readonly auc: number | null;
  readonly acc: number | null;
}

/** Measures scores against a column of a dataset's labels. A score equal to the threshold counts as there. */
export function measureLabel(
  name: string,
  scores: Float64Array,
  threshold: number,
  { column, features }: { readonly column: number; readonly features: Features },
): MeasuredLabel {
  const width = features.header.labels.length;
  const labels = Int32Array.from(
    { length: features.count },
    (_, row) => features.labels[row * width + column] as number,
  );
  return {
    name,
    scores,
    labels,
    auc: rocAuc(scores, labels),
    acc: binaryAccuracy(scores, labels, threshold),
  };
}

/** What metrics say of all labels: means, counts, and each label by itself. */
export function labelsRecord(measured: readonly MeasuredLabel[], acc: number | null): MetricsRecord {
  const auc = macroMean(measured.map((label) => label.auc));
  const positives = measured.map(({ labels }) => labels.filter((label) => label === 1).length);
  const known = measured.map(({ labels }) => labels.filter((label) => label >= 0).length);
  return {
    auc: auc.mean,
    acc,
    n: measured[0]?.labels.length ?? 0,
    labels: measured.length,
    excluded: auc.excluded.length,
    excludedLabels: auc.excluded.map((k) => measured[k]?.name).join(", "),
    prevalence: macroMean(measured.map((_, k) => share(positives[k], known[k]))).mean,
    ...competition(measured),
    ...Object.fromEntries(measured.map(({ name, auc: value }) => [`auc.${name}`, value])),
    ...Object.fromEntries(measured.map(({ name, acc: value }) => [`acc.${name}`, value])),
  };
}

/** Mean accuracy over labels. */
export function meanAccuracy(measured: readonly MeasuredLabel[]): number | null {
  return macroMean(measured.map((label) => label.acc)).mean;
}

/** One row per sample: the score and the truth of each label. */
export function* labelPredictions(
  { ids }: Pick<FeaturesHeader, "ids">,
  measured: readonly MeasuredLabel[],
): Generator<TableRow> {
  for (const [row, id] of ids.entries()) {
    yield {
      id,
      // Nine digits tell any two single-precision scores apart.
      ...Object.fromEntries(
        measured.map(({ name, scores }) => [`p.${name}`, Number((scores[row] as number).toPrecision(9))]),
      ),
      ...Object.fromEntries(
        measured.map(({ name, labels }) => [
          `y.${name}`,
          (labels[row] as number) < 0 ? null : (labels[row] as number),
        ]),
      ),
    };
  }
}

/** Mean AUC of CheXpert's five competition labels, where all of them are compared. */
function competition(measured: readonly MeasuredLabel[]): MetricsRecord {
  const byLabel = new Map(measured.map(({ name, auc }) => [canonicalLabel(name), auc]));
  const values = competitionLabels.map((name) => byLabel.get(canonicalLabel(name)));
  if (values.some((value) => value === undefined)) return {};
  return { aucCompetition: macroMean(values as (number | null)[]).mean };
}

function share(part: number | undefined, whole: number | undefined): number | null {
  return whole ? (part ?? 0) / whole : null;
}
