import type { Json, Scalar } from "../../engine/sdk.ts";
import type { StepReport } from "./train.ts";

/** The notes of a checkpoint, as JSON. */
export type JournalNotes = { readonly [name: string]: Json };

/** What training keeps beside its state: the log, the open epoch's sums, the best epoch. */
export class Journal {
  /** One row per finished epoch. */
  readonly rows: Record<string, Scalar>[] = [];
  best: { readonly score: number; readonly weights: Map<string, Float32Array> } | undefined;
  #sums: Record<string, number> = {};
  #steps = 0;

  step({ loss, terms }: StepReport): void {
    this.#steps++;
    for (const [name, value] of Object.entries({ loss, ...terms })) {
      this.#sums[name] = (this.#sums[name] ?? 0) + value;
    }
  }

  /** Writes the epoch's row; keeps a copy of the weights where their score is the best so far. */
  endEpoch(
    { epoch, learningRate }: StepReport,
    score: number | undefined,
    weights: () => ReadonlyMap<string, Float32Array>,
  ): void {
    const means = Object.entries(this.#sums).map(([name, sum]) => [name, sum / this.#steps]);
    this.rows.push({
      epoch: epoch + 1,
      ...Object.fromEntries(means),
      learningRate,
      ...(score !== undefined && { valScore: score }),
    });
    this.#sums = {};
    this.#steps = 0;
    if (score !== undefined && !(this.best && this.best.score >= score)) {
      this.best = { score, weights: new Map([...weights()].map(([name, data]) => [name, data.slice()])) };
    }
  }

  notes(): JournalNotes {
    return { rows: this.rows, sums: this.#sums, steps: this.#steps, bestScore: this.best?.score ?? null };
  }

  restore(saved: { readonly best: Map<string, Float32Array>; readonly notes: JournalNotes }): void {
    const notes = saved.notes as unknown as {
      readonly rows: readonly Record<string, Scalar>[];
      readonly sums: Record<string, number>;
      readonly steps: number;
      readonly bestScore: number | null;
    };
    this.rows.push(...notes.rows);
    this.#sums = notes.sums;
    this.#steps = notes.steps;
    if (notes.bestScore !== null) this.best = { score: notes.bestScore, weights: saved.best };
  }
}
