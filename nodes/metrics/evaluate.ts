import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { openRuntime } from "../compute/runtime.ts";
import type { EvaluationParams } from "../evaluate-classification.ts";
import { readFeatures, type Features } from "../features.ts";
import type { MetricsRecord } from "../formats.ts";
import { predictLogits } from "../heads/compute.ts";
import { readHead, type StoredHead } from "../heads/head.ts";
import type { Matrix } from "../heads/matrix.ts";
import { probabilities } from "../heads/scores.ts";
import { writeMetrics, writeTable, type TableRow } from "../records.ts";
import { argmaxAccuracy, binaryAccuracy } from "./accuracy.ts";
import { rocAuc } from "./auc.ts";
import { canonicalLabel, competitionLabels, matchLabels, type LabelMatch } from "./label-map.ts";
import { macroMean } from "./macro.ts";

type Context = RunContext<
  EvaluationParams,
  { readonly head: Port; readonly features: Port },
  { readonly metrics: Port; readonly predictions: Port }
>;

/** A compared label with its scores, labels and measures. */
interface Measured {
  readonly name: string;
  /** Probability per sample. */
  readonly scores: Float64Array;
  /** 1, 0, or -1 for unknown, per sample. */
  readonly labels: Int32Array;
  readonly auc: number | null;
  readonly acc: number | null;
}

/** The work of `evaluate.classification`. */
export async function runEvaluation(context: Context): Promise<void> {
  const { params, inputs, outputs } = context;
  const head = await readHead(inputs.head);
  const features = await readFeatures(inputs.features);
  requireFitting(head, features);
  const matches = matchLabels(head.header.labels, features.header.labels, {
    kind: params.labelMap,
    noFinding: params.noFinding,
  });

  const runtime = await openRuntime(context.compute);
  context.provenance(runtime.provenance);
  const matrix = { rows: features.count, cols: features.dim, data: features.features };
  const logits = predictLogits({ runtime, shape: head.shape, weights: head.weights }, matrix);
  const scores = probabilities(logits, head.header.task);
  const measured = matches.map((match) => measure(match, scores, head, features));

  await writeMetrics(outputs.metrics.path, record(params, head, features, measured));
  await writeTable(outputs.predictions.path, predictions(features, measured));
}

function requireFitting({ header }: StoredHead, { count, dim, header: { dataset, split } }: Features): void {
  if (count === 0) {
    throw new NodeError(`the features (${dataset}, ${split}) hold no sample`, {
      hint: "Check the loader's split and limit.",
    });
  }
  if (dim !== header.dim) {
    throw new NodeError(`the head takes features of ${header.dim} values, and these have ${dim}`, {
      hint: "Evaluate on features of the model that the head was trained with.",
    });
  }
}

function measure(match: LabelMatch, scores: Matrix, head: StoredHead, features: Features): Measured {
  const width = features.header.labels.length;
  const labels = Int32Array.from(
    { length: features.count },
    (_, row) => features.labels[row * width + match.column] as number,
  );
  const own = Float64Array.from({ length: features.count }, (_, row) => scoreOf(match, scores, row));
  const { score } = match;
  const single = score.kind === "max" && score.outputs.length === 1 ? score.outputs[0] : undefined;
  const threshold = single === undefined ? 0.5 : (head.header.thresholds[single] ?? 0.5);
  return {
    name: match.name,
    scores: own,
    labels,
    auc: rocAuc(own, labels),
    acc: binaryAccuracy(own, labels, threshold),
  };
}

function scoreOf({ score }: LabelMatch, scores: Matrix, row: number): number {
  const at = (k: number): number => scores.data[row * scores.cols + k] as number;
  switch (score.kind) {
    case "max":
      return Math.max(...score.outputs.map(at));
    case "none":
      return 1 - Math.max(...Array.from({ length: scores.cols }, (_, k) => at(k)));
  }
}

function record(
  { headline }: EvaluationParams,
  { header }: StoredHead,
  { header: { dataset, split }, count }: Features,
  measured: readonly Measured[],
): MetricsRecord {
  const auc = macroMean(measured.map((label) => label.auc));
  const positives = measured.map(({ labels }) => labels.filter((label) => label === 1).length);
  const known = measured.map(({ labels }) => labels.filter((label) => label >= 0).length);
  return {
    dataset,
    split,
    domain: dataset === header.dataset ? "id" : "ood",
    headline,
    auc: auc.mean,
    acc: accuracy(header.task, measured),
    n: count,
    labels: measured.length,
    excluded: auc.excluded.length,
    excludedLabels: auc.excluded.map((k) => measured[k]?.name).join(", "),
    prevalence: macroMean(measured.map((_, k) => share(positives[k], known[k]))).mean,
    ...competition(measured),
    ...Object.fromEntries(measured.map(({ name, auc: value }) => [`auc.${name}`, value])),
    ...Object.fromEntries(measured.map(({ name, acc: value }) => [`acc.${name}`, value])),
  };
}

/** Mean over labels, or the share of samples whose largest score is the right label's. */
function accuracy(task: StoredHead["header"]["task"], measured: readonly Measured[]): number | null {
  if (task === "multi-label") return macroMean(measured.map((label) => label.acc)).mean;
  const width = measured.length;
  const rows: number[] = [];
  const scores: number[] = [];
  for (let row = 0; row < (measured[0]?.labels.length ?? 0); row++) {
    const right = measured.findIndex(({ labels }) => labels[row] === 1);
    if (right < 0) continue;
    rows.push(right);
    scores.push(...measured.map((label) => label.scores[row] as number));
  }
  return argmaxAccuracy(scores, rows, width);
}

/** Mean AUC of CheXpert's five competition labels, where all of them are compared. */
function competition(measured: readonly Measured[]): MetricsRecord {
  const byLabel = new Map(measured.map(({ name, auc }) => [canonicalLabel(name), auc]));
  const values = competitionLabels.map((name) => byLabel.get(canonicalLabel(name)));
  if (values.some((value) => value === undefined)) return {};
  return { aucCompetition: macroMean(values as (number | null)[]).mean };
}

function share(part: number | undefined, whole: number | undefined): number | null {
  return whole ? (part ?? 0) / whole : null;
}

function* predictions({ header }: Features, measured: readonly Measured[]): Generator<TableRow> {
  for (const [row, id] of header.ids.entries()) {
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
