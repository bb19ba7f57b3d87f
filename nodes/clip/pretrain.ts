import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Port, RunContext } from "../../engine/sdk.ts";
import type { PretrainParams } from "../clip-pretrain.ts";
import { openRuntime } from "../compute/runtime.ts";
import type { Runtime } from "../compute/types.ts";
import { normaliseRgb } from "../data/normalise.ts";
import { readPairs, writeTable } from "../records.ts";
import { readSafetensors, writeSafetensors } from "../safetensors.ts";
import { captionNoise } from "./caption-noise.ts";
import { watchForDivergence } from "./divergence.ts";
import { openTokenizer, readClipModel, writeClipModel } from "./folder.ts";
import type { StoredClip } from "./folder.ts";
import { createClipModel, disposeClipModel, modelState } from "./model.ts";
import type { ClipModel } from "./model.ts";
import { createOptimizer, learningRateAt } from "./optimizer.ts";
import type { ClipOptimizer } from "./optimizer.ts";
import { inBatches } from "./prefetch.ts";
import { tokenBatch } from "./tokens.ts";
import { trainStepInParts } from "./train-step.ts";
import { trainingBatches } from "./training-batches.ts";
import { trainingLog } from "./training-log.ts";
import type { LogState, TrainingLog } from "./training-log.ts";
import {
  diverged,
  plannedBatches,
  stepsPerEpoch,
  warnOfRate,
  warnOfWarmup,
  weightDecayOf,
} from "./training-plan.ts";
import type { FloatTensor } from "./weights.ts";

type PretrainContext = RunContext<
  PretrainParams,
  { pairs: Port & { type: "pairs" }; init: Port & { type: "clip-model" } },
  { model: Port & { type: "clip-model" }; log: Port & { type: "table" } }
>;

/** The work of `clip.pretrain` (METHOD 7). */
export async function pretrain(context: PretrainContext): Promise<void> {
  const runtime = await openRuntime(context.compute);
  context.provenance(runtime.provenance);
  const { model, stored } = await openModel(runtime, context);
  try {
    await train(context, model, stored);
  } finally {
    disposeClipModel(model);
  }
}

/** The initial model. Its values are let go on the host, where they would add to the memory of every step. */
async function openModel(
  runtime: Runtime,
  { inputs, params, log }: PretrainContext,
): Promise<{ model: ClipModel; stored: Omit<StoredClip, "state"> }> {
  const { state, ...stored } = await readClipModel(inputs.init);
  warnOfRate(params, state, log);
  const model = createClipModel(runtime, stored.config, state);
  return { model: { ...model, recompute: params.recompute }, stored };
}

async function train(
  context: PretrainContext,
  model: ClipModel,
  stored: Omit<StoredClip, "state">,
): Promise<void> {
  const { params, inputs, outputs, seed, signal, progress, log } = context;
  const { runtime } = model.ops;
  const pairs = await readPairs(inputs.pairs.path);
  const tokenizer = await openTokenizer(stored);
  const tokens = pairs.map(({ caption }) => tokenizer.encode(caption));
  const files = await context.blobs.locate(pairs.map(({ image }) => image));
  const { image_size: size } = stored.config.vision_cfg;

  const perEpoch = params.epochs === 0 ? 0 : stepsPerEpoch(pairs.length, params);
  const total = perEpoch * params.epochs;
  warnOfWarmup(params, total, log);
  const optimizer = createOptimizer(model, {
    optimizer: params.optimizer,
    weightDecay: weightDecayOf(params),
    beta1: params.beta1,
    beta2: params.beta2,
    epsilon: params.eps,
  });
  try {
    const withNoise = captionNoise(pairs, model);
    const checkpoint = context.checkpoint(`${runtime.backend}-${runtime.threads}`);
    const restored = await restore(await checkpoint.restore(), optimizer);
    const training = trainingLog(total, restored?.log);
    const first = restored?.step ?? 0;
    if (restored) log(`going on from step ${first} of ${total}`);
    const watch = watchForDivergence(params.batchSize, () => training.state().rows[0]?.["loss"]);
    let kept = restored?.step;

    const batches = trainingBatches(
      plannedBatches(pairs.length, { ...params, perEpoch, seed, first }),
      pairs.map(({ id }, index) => ({ id, file: files[index]! })),
      { size, augment: params.augment, seed },
    );
    let clock = performance.now();
    let epochLosses: number[] = [];
    for await (const { step, epoch, indices, rgb } of batches) {
      const learningRate = learningRateAt(step, {
        base: params.learningRate,
        warmup: params.warmup,
        total,
        schedule: params.schedule,
      });
      const { loss, gradientNorm } = model.ops.tidy(() => {
        const partSize = Math.ceil(indices.length / params.accumulation);
        const partBytes = partSize * size * size * 3;
        const parts = inBatches(indices, partSize).map((part, at) => {
          const pixels = normaliseRgb(
            rgb.subarray(at * partBytes, (at + 1) * partBytes),
            stored.config.preprocess_cfg,
          );
          return {
            images: model.ops.tensor(pixels, [part.length, size, size, 3]),
            tokens: withNoise(
              tokenBatch(
                part.map((index) => tokens[index]!),
                stored.config.text_cfg,
              ),
              part,
            ),
          };
        });
        return trainStepInParts(model, optimizer, { parts, learningRate });
      });
      const trouble = watch(loss, gradientNorm);
      if (trouble) {
        const checkpointed = kept === undefined ? undefined : `the checkpoint of step ${kept}`;
        throw diverged(trouble, { step, total, kept: checkpointed }, params);
      }
      training.add({
        step,
        epoch: epoch + 1,
        loss,
        learningRate,
        gradientNorm,
        logitScale: optimizer.logitScale(),
      });
      epochLosses.push(loss);
      if ((step + 1) % perEpoch === 0) {
        const mean = epochLosses.reduce((sum, value) => sum + value, 0) / epochLosses.length;
        log(`epoch ${epoch + 1} of ${params.epochs}: loss ${mean.toFixed(4)}`);
        epochLosses = [];
      }
      const now = performance.now();
      const rate = (1000 * indices.length) / Math.max(now - clock, 1e-3);
      clock = now;
      progress(
        step + 1,
        total,
        {
          loss,
          lr: learningRate,
          "grad norm": gradientNorm,
          "logit scale": optimizer.logitScale(),
          "examples/s": rate,
        },
        "step",
      );
      if (checkpoint.due()) {
        await checkpoint.save((folder) => save(folder, optimizer, training));
        kept = step + 1;
      }
      signal.throwIfAborted();
      // Lets messages in: a step keeps the process busy, and cancelling has to be heard.
      await setImmediate();
    }
    await writeClipModel(outputs.model.path, { ...stored, state: modelState(model) });
    await writeTable(outputs.log.path, training.state().rows);
  } finally {
    optimizer.dispose();
  }
}

async function save(folder: string, optimizer: ClipOptimizer, training: TrainingLog): Promise<void> {
  const { tensors, step } = optimizer.save();
  await writeSafetensors(join(folder, "state.safetensors"), tensors);
  await writeFile(join(folder, "state.json"), JSON.stringify({ step, log: training.state() }));
}

/** Random state is not kept: order and crops follow from seed, epoch and id. */
async function restore(
  folder: string | undefined,
  optimizer: ClipOptimizer,
): Promise<{ step: number; log: LogState } | undefined> {
  if (folder === undefined) return undefined;
  const { tensors } = await readSafetensors(join(folder, "state.safetensors"));
  const saved = JSON.parse(await readFile(join(folder, "state.json"), "utf8")) as {
    step: number;
    log: LogState;
  };
  optimizer.restore({ tensors: tensors as ReadonlyMap<string, FloatTensor>, step: saved.step });
  return saved;
}
