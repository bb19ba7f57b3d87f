import type { RunContext } from "../../engine/sdk.ts";
import { watchForDivergence } from "../clip/divergence.ts";
import { learningRateAt } from "../clip/optimizer.ts";
import { trainingLog } from "../clip/training-log.ts";
import type { LogState } from "../clip/training-log.ts";
import { dullLines, trainingLine } from "./training-lines.ts";

/** How far a training has come: its state at the end of an epoch. */
export interface Reached {
  /** Epochs that are complete. */
  readonly epochs: number;
  /** The training's log up to there. */
  readonly log: LogState;
}

/** A training as its log tells of it. */
export interface FollowedTraining {
  /** Takes a line of the log; true where it need not be shown. */
  take(line: string): boolean;
  log(): LogState;
  /** The end of the last epoch that OpenCLIP has written a checkpoint of. */
  reached(): Reached;
}

/**
 * Follows OpenCLIP's log.
 *
 * @param perEpoch steps of an epoch
 * @param from where the training goes on, if it is not new
 * @param onEpoch told whenever an epoch is complete, its checkpoint included
 * @param onTrouble told why the training has diverged, and at which step (0-based), once
 */
export function followTraining(
  context: Pick<RunContext, "log" | "progress">,
  params: Parameters<typeof learningRateAt>[1] & { readonly batchSize: number; readonly epochs: number },
  {
    perEpoch,
    from,
    onEpoch,
    onTrouble,
  }: {
    readonly perEpoch: number;
    readonly from: Reached | undefined;
    readonly onEpoch: (reached: Reached) => void;
    readonly onTrouble: (trouble: string, step: number) => void;
  },
): FollowedTraining {
  const training = trainingLog(params.total, from?.log);
  const snapshot = (epochs: number): Reached => ({ epochs, log: structuredClone(training.state()) });
  const isDull = dullLines();
  const watch = watchForDivergence(params.batchSize, () => training.state().rows[0]?.["loss"]);
  let reached = snapshot(from?.epochs ?? 0);
  let step = reached.epochs * perEpoch;
  let losses: number[] = [];
  let troubled = false;

  return {
    take(text) {
      const line = trainingLine(text);
      if (line === undefined) return isDull(text);
      if (line.kind === "epoch") {
        if (line.epoch > reached.epochs) {
          reached = snapshot(line.epoch);
          onEpoch(reached);
        }
        return true;
      }
      const { loss, scale, rate, epoch } = line;
      const trouble = troubled ? undefined : watch(loss, 0);
      if (trouble !== undefined) {
        troubled = true;
        onTrouble(trouble, step);
      }
      if (troubled) return true;
      const learningRate = learningRateAt(step, params);
      const logitScale = Math.log(scale);
      training.add({ step, epoch: epoch + 1, loss, learningRate, logitScale });
      step++;
      context.progress(
        step,
        params.total,
        { loss, lr: learningRate, epoch: epoch + 1, "logit scale": logitScale, "examples/s": rate },
        "step",
      );
      losses.push(loss);
      if (step % perEpoch === 0) {
        const mean = losses.reduce((sum, value) => sum + value, 0) / losses.length;
        context.log(`epoch ${epoch + 1} of ${params.epochs}: loss ${mean.toFixed(4)}`);
        losses = [];
      }
      return true;
    },
    log: () => training.state(),
    reached: () => reached,
  };
}
