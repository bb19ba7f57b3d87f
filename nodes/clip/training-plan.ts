import { NodeError } from "../../engine/sdk.ts";
import type { RunContext } from "../../engine/sdk.ts";
import type { PretrainParams } from "../clip-pretrain.ts";
import { randomStream } from "../random.ts";
import type { ClipState } from "./weights.ts";

/** One step's place in the run: what is in the batch follows from it, the seed and the pairs. */
export interface PlannedBatch {
  readonly step: number;
  readonly epoch: number;
  /** Indices of the pairs. */
  readonly indices: readonly number[];
}

/** @throws NodeError where the pairs fill no batch */
export function stepsPerEpoch(
  pairs: number,
  { batchSize, dropLast }: Pick<PretrainParams, "batchSize" | "dropLast">,
): number {
  const full = Math.floor(pairs / batchSize);
  const rest = pairs % batchSize;
  // One pair alone has nothing to be contrasted with.
  const steps = dropLast || rest < 2 ? full : full + 1;
  if (steps === 0) {
    throw new NodeError(`${pairs} pairs do not fill one batch of ${batchSize}`, {
      hint: "Lower `batchSize`, set `dropLast: false`, or give more pairs.",
    });
  }
  return steps;
}

/** The batches of a run from its step `first` on: each epoch has an order of its own, by the seed. */
export function* plannedBatches(
  pairs: number,
  {
    epochs,
    perEpoch,
    batchSize,
    seed,
    first,
  }: { epochs: number; perEpoch: number; batchSize: number; seed: number; first: number },
): Generator<PlannedBatch> {
  const all = Array.from({ length: pairs }, (_, index) => index);
  for (let epoch = Math.floor(first / perEpoch); epoch < epochs; epoch++) {
    const order = randomStream(seed, "order", epoch).shuffle(all);
    for (let batch = 0; batch < perEpoch; batch++) {
      const step = epoch * perEpoch + batch;
      if (step < first) continue;
      yield { step, epoch, indices: order.slice(batch * batchSize, (batch + 1) * batchSize) };
    }
  }
}

/** 0.2 with AdamW and 0 with Adam unless told. */
export function weightDecayOf({
  optimizer,
  weightDecay,
}: Pick<PretrainParams, "optimizer" | "weightDecay">): number {
  return weightDecay ?? (optimizer === "adamw" ? 0.2 : 0);
}

/** Warns of a learning rate that such a model is known not to bear. */
export function warnOfRate(
  { learningRate, batchSize }: Pick<PretrainParams, "learningRate" | "batchSize">,
  state: ClipState,
  log: RunContext["log"],
): void {
  const values = [...state.values()].reduce((sum, { data }) => sum + data.length, 0);
  if (values > 1e8 && learningRate > 1e-4 && batchSize < 256) {
    log(
      `learning rate ${learningRate} is large for a model of ${Math.round(values / 1e6)} million parameters at batch ${batchSize}: 1e-5 is safe for going on from a checkpoint`,
      "warning",
    );
  }
}

/** Warns of a warm-up that the run is too short for. */
export function warnOfWarmup(
  { warmup, learningRate }: Pick<PretrainParams, "warmup" | "learningRate">,
  total: number,
  log: RunContext["log"],
): void {
  if (warmup < total || total === 0) return;
  log(
    `the warm-up of ${warmup} steps is not over within the run's ${total}: the learning rate never reaches ${learningRate}`,
    "warning",
  );
}

/**
 * Why a training stopped that ran away.
 *
 * @param trouble what `watchForDivergence` saw
 * @param step 0-based
 * @param kept what of the run is kept, for instance `the checkpoint of step 40`
 */
export function diverged(
  trouble: string,
  { step, total, kept }: { step: number; total: number; kept: string | undefined },
  { learningRate }: Pick<PretrainParams, "learningRate">,
): NodeError {
  const where = kept === undefined ? "" : `; ${kept} is kept`;
  return new NodeError(`training diverged: ${trouble} at step ${step + 1} of ${total}${where}`, {
    hint: `Lower \`learningRate\` (now ${learningRate}), lengthen \`warmup\`, or check the initial model.`,
  });
}
