import { setImmediate as nextTurn } from "node:timers/promises";
import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import { openRuntime } from "../compute/runtime.ts";
import type { Features } from "../features.ts";
import { readFeatures } from "../features.ts";
import { randomStream } from "../random.ts";
import { writeTable } from "../records.ts";
import { restoreTraining, saveTraining } from "./checkpoint.ts";
import { initialWeights, writeHead, type HeadWeights } from "./head.ts";
import { Journal } from "./journal.ts";
import type { HeadParams } from "./params.ts";
import { fitThresholds } from "./thresholds.ts";
import {
  batchBounds,
  startTraining,
  trainHead,
  type TrainingData,
  type TrainingOptions,
  type TrainingState,
} from "./train.ts";
import {
  requireComparable,
  subset,
  trainingData,
  trainingOptions,
  warnOfEmptyLabels,
} from "./training-set.ts";
import { validationScore, validationScores } from "./validation.ts";

type Context = RunContext<
  HeadParams,
  { readonly train: Port; readonly val: Port & { readonly optional: true } },
  { readonly head: Port; readonly log: Port }
>;

/** Work is handed back to the event loop at least this often, in ms, so that a cancel is heard. */
const turnEvery = 50;

/** The work of `head.train`. */
export async function runHeadTraining(context: Context): Promise<void> {
  const { params, outputs, seed } = context;
  const train = subset(await readFeatures(context.inputs.train), params.fraction, seed);
  const val = await validationFeatures(context, train);
  const options = trainingOptions(params, train);
  warnOfEmptyLabels(train, (message) => context.log(message, "warning"));

  const runtime = await openRuntime(context.compute);
  context.provenance(runtime.provenance);
  const { shape } = options;
  const data = trainingData(train, params.task);
  const state = startTraining(runtime, data, options, initialWeights(shape, seed), seed);
  const { journal, weights } = await trainToTheEnd(context, state, { data, val, options }).finally(() =>
    state.head.trained.dispose(),
  );

  const thresholds = val
    ? fitThresholds(
        params.threshold,
        validationScores({ runtime, shape, weights }, val, params.task),
        val.labels,
      )
    : train.header.labels.map(() => 0.5);
  await writeHead(outputs.head.path, {
    header: {
      method: params.method,
      task: params.task,
      dataset: train.header.dataset,
      labels: train.header.labels,
      dim: shape.dim,
      hidden: shape.hidden,
      residual: shape.residual,
      batchNorm: shape.batchNorm,
      thresholds,
    },
    shape,
    weights,
  });
  await writeTable(outputs.log.path, journal.rows);
}

async function validationFeatures(context: Context, train: Features): Promise<Features | undefined> {
  const { threshold, selection } = context.params;
  if (threshold === "0.5" && selection === "last") return undefined;
  if (!context.inputs.val) {
    const wanted = selection === "best_val" ? "selection best_val" : `threshold ${threshold}`;
    throw new NodeError(`${wanted} needs validation features, and the input val is not bound`, {
      hint: "Bind val to the features of a validation split, or leave the parameter out.",
    });
  }
  const val = await readFeatures(context.inputs.val);
  requireComparable(train, val);
  return val;
}

/** Trains from the last checkpoint, or from the start; saves when due, stops when told. */
async function trainToTheEnd(
  context: Context,
  state: TrainingState,
  {
    data,
    options,
    val,
  }: { readonly data: TrainingData; readonly options: TrainingOptions; readonly val: Features | undefined },
): Promise<{ readonly weights: HeadWeights; readonly journal: Journal }> {
  const { params, seed, signal } = context;
  const { head } = state;
  const { runtime } = head.ops;
  const count = data.features.rows;
  const stepsPerEpoch = batchBounds(count, options).length;
  const total = stepsPerEpoch * options.epochs;
  const journal = new Journal();

  const checkpoint = context.checkpoint(`${runtime.backend}-${runtime.threads}`);
  const folder = await checkpoint.restore();
  if (folder !== undefined) {
    journal.restore(await restoreTraining(folder, state));
    context.log(`goes on from step ${state.step} of ${total}`);
  }

  const rows = Array.from({ length: count }, (_, row) => row);
  const order = (epoch: number): number[] => randomStream(seed, "head-order", epoch).shuffle(rows);
  let turn = performance.now();
  for (const report of trainHead(data, options, state, order)) {
    if (!Number.isFinite(report.loss)) {
      throw new NodeError(`the loss is ${report.loss} at step ${state.step} of ${total}`, {
        hint: "Lower learningRate, or the weights of the losses.",
      });
    }
    journal.step(report);
    context.progress(state.step, total, { loss: report.loss });
    if (state.step % stepsPerEpoch === 0) {
      const compared = params.selection === "best_val" ? val : undefined;
      const score =
        compared &&
        validationScore({ runtime, shape: head.shape, weights: head.weights() }, compared, params.task);
      journal.endEpoch(report, score, () => head.weights());
    }
    if (checkpoint.due()) {
      await checkpoint.save((empty) =>
        saveTraining(empty, state, { best: journal.best?.weights, notes: journal.notes() }),
      );
    }
    if (performance.now() - turn > turnEvery) {
      await nextTurn();
      turn = performance.now();
    }
    if (state.step < total) signal.throwIfAborted();
  }
  return { weights: journal.best?.weights ?? head.weights(), journal };
}
