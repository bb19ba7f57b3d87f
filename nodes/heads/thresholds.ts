import type { Matrix } from "./matrix.ts";
import { accuracyThreshold, youdenThreshold, type ThresholdRule } from "../metrics/threshold.ts";

/**
 * A decision threshold per label. The fitted rules use validation scores; a label with one class there keeps 0.5.
 *
 * @param scores [n, K] validation scores
 * @param labels [n, K] row-major: 1, 0, or -1 for unknown
 */
export function fitThresholds(rule: ThresholdRule, scores: Matrix, labels: Int32Array): number[] {
  const { rows, cols } = scores;
  return Array.from({ length: cols }, (_, k) => {
    if (rule === "0.5") return 0.5;
    const column = Array.from({ length: rows }, (_, i) => scores.data[i * cols + k] as number);
    const truth = Array.from({ length: rows }, (_, i) => labels[i * cols + k]);
    const fit = rule === "youden_val" ? youdenThreshold(column, truth) : accuracyThreshold(column, truth);
    return fit?.threshold ?? 0.5;
  });
}
