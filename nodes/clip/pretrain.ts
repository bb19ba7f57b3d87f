import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { NodeError } from "../../engine/sdk.ts";
import type { Port, RunContext } from "../../engine/sdk.ts";
import type { PretrainParams } from "../clip-pretrain.ts";
import { openRuntime } from "../compute/runtime.ts";
import type { Runtime } from "../compute/types.ts";
import { normaliseRgb } from "../data/normalise.ts";
import { randomStream } from "../random.ts";
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
import { inBatches, prefetch } from "./prefetch.ts";
import { tokenBatch } from "./tokens.ts";
import { trainStepInParts } from "./train-step.ts";
import { trainingImages } from "./training-images.ts";
import { trainingLog } from "./training-log.ts";
import type { LogState, TrainingLog } from "./training-log.ts";
import type { ClipState, FloatTensor } from "./weights.ts";

type PretrainContext = RunContext<
  PretrainParams,
  { pairs: Port & { type: "pairs" }; init: Port & { type: "clip-model" } },
  { model: Port & { type: "clip-model" }; log: Port & { type: "table" } }
>;

/** One step's place in the run: what is in the batch follows from it, the seed and the pairs. */
interface PlannedBatch {
  readonly step: number;
  readonly epoch: number;
  /** Indices of the pairs. */
  readonly indices: readonly number[];
}

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
  const images = trainingImages(
    pairs.map(({ id }, index) => ({ id, file: files[index]! })),
    { size, augment: params.augment, seed },
  );

  const perEpoch = params.epochs === 0 ? 0 : stepsPerEpoch(pairs.length, params);
  const total = perEpoch * params.epochs;
  if (params.warmup >= total && total > 0) {
    log(
      `the warm-up of ${params.warmup} steps is not over within the run's ${total}: the learning rate never reaches ${params.learningRate}`,
      "warning",
    );
  }
  const optimizer = createOptimizer(model, {
    optimizer: params.optimizer,
    weightDecay: params.weightDecay ?? (params.optimizer === "adamw" ? 0.2 : 0),
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

    const batches = prefetch(
      plannedBatches(pairs.length, { ...params, perEpoch, seed, first }),
      ({ indices, epoch }) => Promise.all(indices.map((index) => images.get({ index, epoch }))),
    );
    let clock = performance.now();
    let epochLosses: number[] = [];
    for await (const { item, loaded } of batches) {
      const { step, epoch, indices } = item;
      const learningRate = learningRateAt(step, {
        base: params.learningRate,
        warmup: params.warmup,
        total,
        schedule: params.schedule,
      });
      const { loss, gradientNorm } = model.ops.tidy(() => {
        const partSize = Math.ceil(indices.length / params.accumulation);
        const parts = inBatches(indices, partSize).map((part, at) => {
          const pixels = new Float32Array(part.length * size * size * 3);
          loaded.slice(at * partSize, at * partSize + part.length).forEach((rgb, index) =>
            normaliseRgb(rgb, {
              ...stored.config.preprocess_cfg,
              into: pixels.subarray(index * rgb.length, (index + 1) * rgb.length),
            }),
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
      if (trouble) throw diverged(trouble, { step, total, kept }, params);
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

/** @throws NodeError where the pairs fill no batch */
function stepsPerEpoch(pairs: number, { batchSize, dropLast }: PretrainParams): number {
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

function* plannedBatches(
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

function warnOfRate(
  { learningRate, batchSize }: PretrainParams,
  state: ClipState,
  log: PretrainContext["log"],
): void {
  const values = [...state.values()].reduce((sum, { data }) => sum + data.length, 0);
  if (values > 1e8 && learningRate > 1e-4 && batchSize < 256) {
    log(
      `learning rate ${learningRate} is large for a model of ${Math.round(values / 1e6)} million parameters at batch ${batchSize}: 1e-5 is safe for going on from a checkpoint`,
      "warning",
    );
  }
}

/** @param kept step of the last checkpoint, which stays */
function diverged(
  trouble: string,
  { step, total, kept }: { step: number; total: number; kept: number | undefined },
  { learningRate }: PretrainParams,
): NodeError {
  const where = kept === undefined ? "" : `; the checkpoint of step ${kept} is kept`;
  return new NodeError(`training diverged: ${trouble} at step ${step + 1} of ${total}${where}`, {
    hint: `Lower \`learningRate\` (now ${learningRate}), lengthen \`warmup\`, or check the initial model.`,
  });
}
