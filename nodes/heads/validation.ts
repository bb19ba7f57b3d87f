import { NodeError } from "../../engine/sdk.ts";
import type { Runtime } from "../compute/types.ts";
import type { Features } from "../features.ts";
import { argmaxAccuracy } from "../metrics/accuracy.ts";
import { rocAuc } from "../metrics/auc.ts";
import { macroMean } from "../metrics/macro.ts";
import { predictLogits } from "./compute.ts";
import type { HeadShape, HeadWeights } from "./head.ts";
import type { Matrix } from "./matrix.ts";
import type { HeadTask } from "./objective.ts";
import { probabilities } from "./scores.ts";
import { trainingData } from "./training-set.ts";

interface Head {
  readonly runtime: Runtime;
  readonly shape: HeadShape;
  readonly weights: HeadWeights;
}

/** Probabilities [n, K] of a head on features. */
export function validationScores(head: Head, { count, dim, features }: Features, task: HeadTask): Matrix {
  return probabilities(predictLogits(head, { rows: count, cols: dim, data: features }), task);
}

/**
 * What epochs are compared by: macro AUC over labels with both classes, or accuracy for a single-label task.
 *
 * @throws NodeError where no label has both classes
 */
export function validationScore(head: Head, val: Features, task: HeadTask): number {
  const scores = validationScores(head, val, task);
  if (task === "single-label") {
    return argmaxAccuracy(scores.data, trainingData(val, task).labels, scores.cols) ?? 0;
  }
  const { mean } = macroMean(
    val.header.labels.map((_, k) => rocAuc(column(scores, k), column(labelsOf(val), k))),
  );
  if (mean !== null) return mean;
  throw new NodeError(`no label has both classes among the ${val.count} validation samples`, {
    hint: "Give more validation samples, or use selection last.",
  });
}

function labelsOf({ count, labels, header }: Features): { rows: number; cols: number; data: Int32Array } {
  return { rows: count, cols: header.labels.length, data: labels };
}

function column(
  { rows, cols, data }: { readonly rows: number; readonly cols: number; readonly data: ArrayLike<number> },
  k: number,
): number[] {
  return Array.from({ length: rows }, (_, i) => data[i * cols + k] as number);
}
