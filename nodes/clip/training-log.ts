import type { TableRow } from "../records.ts";

/** Rows of a training log at most: long runs are averaged over more steps a row. */
const mostRows = 500;

export interface LoggedStep {
  /** 0-based. */
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly learningRate: number;
  /** Where it is known. */
  readonly gradientNorm?: number;
  readonly logitScale: number;
}

/** The state of a log, as a checkpoint keeps it. */
export interface LogState {
  readonly rows: readonly TableRow[];
  readonly loss: number;
  readonly gradientNorm: number;
  readonly steps: number;
}

export interface TrainingLog {
  add(step: LoggedStep): void;
  state(): LogState;
}

/** The log of a run of `total` steps: loss and gradient norm are means over the steps since the row before. */
export function trainingLog(total: number, from?: LogState): TrainingLog {
  const every = Math.max(1, Math.ceil(total / mostRows));
  const rows = [...(from?.rows ?? [])];
  let { loss, gradientNorm, steps } = from ?? { loss: 0, gradientNorm: 0, steps: 0 };
  return {
    add(entry) {
      loss += entry.loss;
      gradientNorm += entry.gradientNorm ?? 0;
      steps++;
      if ((entry.step + 1) % every !== 0 && entry.step + 1 !== total) return;
      rows.push({
        step: entry.step + 1,
        epoch: entry.epoch,
        loss: loss / steps,
        learningRate: entry.learningRate,
        ...(entry.gradientNorm !== undefined && { gradientNorm: gradientNorm / steps }),
        logitScale: entry.logitScale,
      });
      loss = 0;
      gradientNorm = 0;
      steps = 0;
    },
    state: () => ({ rows, loss, gradientNorm, steps }),
  };
}
