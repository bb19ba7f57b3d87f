import type { FeaturesHeader, MetricsRecord } from "../formats.ts";
import type { Features } from "../features.ts";
import type { TableRow } from "../records.ts";
import { shareRight, thresholdVerdicts, type Verdicts } from "./accuracy.ts";
import { rocAuc, weightedAuc } from "./auc.ts";
import { bootstrapIntervals } from "./bootstrap.ts";
import { canonicalLabel, competitionLabels } from "./label-map.ts";
import { macroMean } from "./macro.ts";

/** A label with its scores, its truth and how well they agree. */
export interface MeasuredLabel {
  readonly name: string;
  /** Score per sample; larger means more likely there. */
  readonly scores: Float64Array;
  /** 1, 0, or -1 for unknown, per sample. */
  readonly labels: Int32Array;
  readonly verdicts: Verdicts;
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
  const verdicts = thresholdVerdicts(scores, labels, threshold);
  return { name, scores, labels, verdicts, auc: rocAuc(scores, labels), acc: shareRight(verdicts) };
}

/**
 * What metrics say of all labels: means, counts, and each label by itself.
 *
 * @param verdicts what accuracy is the mean of; the labels' own unless told
 */
export function labelsRecord(
  measured: readonly MeasuredLabel[],
  verdicts = labelVerdicts(measured),
): MetricsRecord {
  const auc = macroMean(measured.map((label) => label.auc));
  const positives = measured.map(({ labels }) => labels.filter((label) => label === 1).length);
  const known = measured.map(({ labels }) => labels.filter((label) => label >= 0).length);
  return {
    auc: auc.mean,
    acc: meanShare(verdicts),
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

/** Confidence intervals of mean AUC and accuracy, over resampled samples; nothing without resamples. */
export function labelIntervals(
  measured: readonly MeasuredLabel[],
  options: { readonly bootstrap: number; readonly confidence: number; readonly seed: number },
  verdicts = labelVerdicts(measured),
): MetricsRecord {
  const aucs = measured.map(({ scores, labels }) => weightedAuc(scores, labels));
  return bootstrapIntervals(
    measured[0]?.labels.length ?? 0,
    (weights) => ({
      auc: macroMean(aucs.map((auc) => auc(weights))).mean,
      acc: meanShare(verdicts, weights),
    }),
    options,
  );
}

function labelVerdicts(measured: readonly MeasuredLabel[]): readonly Verdicts[] {
  return measured.map(({ verdicts }) => verdicts);
}

function meanShare(verdicts: readonly Verdicts[], weights?: Uint32Array): number | null {
  return macroMean(verdicts.map((each) => shareRight(each, weights))).mean;
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
