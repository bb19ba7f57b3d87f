import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { openRuntime } from "../compute/runtime.ts";
import type { EvaluationParams } from "../evaluate-classification.ts";
import { readFeatures, type Features } from "../features.ts";
import { predictLogits } from "../heads/compute.ts";
import { readHead, type StoredHead } from "../heads/head.ts";
import type { Matrix } from "../heads/matrix.ts";
import { probabilities } from "../heads/scores.ts";
import { writeMetrics, writeTable } from "../records.ts";
import { argmaxVerdicts, type Verdicts } from "./accuracy.ts";
import { matchLabels, type LabelMatch } from "./label-map.ts";
import {
  labelIntervals,
  labelPredictions,
  labelsRecord,
  measureLabel,
  type MeasuredLabel,
} from "./labels.ts";

type Context = RunContext<
  EvaluationParams,
  { readonly head: Port; readonly features: Port },
  { readonly metrics: Port; readonly predictions: Port }
>;

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

  const { dataset, split } = features.header;
  const verdicts =
    head.header.task === "single-label" ? [singleLabelVerdicts(measured, features.count)] : undefined;
  await writeMetrics(outputs.metrics.path, {
    dataset,
    split,
    domain: dataset === head.header.dataset ? "id" : "ood",
    headline: params.headline,
    ...labelsRecord(measured, verdicts),
    ...labelIntervals(measured, { ...params, seed: context.seed }, verdicts),
  });
  await writeTable(outputs.predictions.path, labelPredictions(features.header, measured));
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

function measure(match: LabelMatch, scores: Matrix, head: StoredHead, features: Features): MeasuredLabel {
  const own = Float64Array.from({ length: features.count }, (_, row) => scoreOf(match, scores, row));
  const { column, name, score } = match;
  const single = score.kind === "max" && score.outputs.length === 1 ? score.outputs[0] : undefined;
  const threshold = single === undefined ? 0.5 : (head.header.thresholds[single] ?? 0.5);
  return measureLabel(name, own, threshold, { column, features });
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

/** Whether the largest score of each sample is that of the label it has; not known where it has none of them. */
function singleLabelVerdicts(measured: readonly MeasuredLabel[], count: number): Verdicts {
  const rows = Array.from({ length: count }, (_, row) => row);
  return argmaxVerdicts(
    rows.flatMap((row) => measured.map(({ scores }) => scores[row] as number)),
    rows.map((row) => measured.findIndex(({ labels }) => labels[row] === 1)),
    measured.length,
  );
}
