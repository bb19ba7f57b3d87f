import { createInterface } from "node:readline";
import { clipAttackEncoder } from "../../nodes/attack/clip-encoder.ts";
import { pgd } from "../../nodes/attack/pgd.ts";
import { clipPresets } from "../../nodes/clip/config.ts";
import { initialise } from "../../nodes/clip/initialise.ts";
import { createClipModel } from "../../nodes/clip/model.ts";
import { createOptimizer } from "../../nodes/clip/optimizer.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { trainStep } from "../../nodes/clip/train-step.ts";
import { encodeImages } from "../../nodes/clip/vision.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import type { Runtime } from "../../nodes/compute/types.ts";
import { initialWeights } from "../../nodes/heads/head.ts";
import { headParams } from "../../nodes/heads/params.ts";
import { startTraining, trainHead } from "../../nodes/heads/train.ts";
import { trainingOptions } from "../../nodes/heads/training-set.ts";
import { randomStream } from "../../nodes/random.ts";
import { captionLengths } from "./pairs.ts";
import type { Pair, Work } from "./pairs.ts";

const attackOptions = {
  loss: "embed_cos",
  norm: "linf",
  eps: 8 / 255,
  alpha: 1 / 255,
  steps: 2,
  boxClip: "each_step",
  tau: 1,
} as const;

/** Our side of a pair: a process that computes when it is told to. See `startSide`. */
const { work, repeats, threads } = JSON.parse(process.argv.at(-1) ?? "") as Pair;
const run = await prepare(await openRuntime({ backend: "tensorflow", threads }), work);
await run();
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "end") break;
  const began = performance.now();
  const cpu = process.cpuUsage();
  for (let i = 0; i < repeats; i++) await run();
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ wall: (performance.now() - began) / 1e3, cpu: (user + system) / 1e6 }));
}
console.log(JSON.stringify({ peak: process.resourceUsage().maxRSS * 1024 }));
process.exit(0);

async function prepare(runtime: Runtime, wanted: Work): Promise<() => Promise<void>> {
  return wanted.kind === "head" ? prepareHead(runtime, wanted) : prepareClip(runtime, wanted);
}

function prepareClip(
  runtime: Runtime,
  { kind, arch, batch }: Extract<Work, { arch: unknown }>,
): () => Promise<void> {
  const config = clipPresets[arch];
  const model = createClipModel(runtime, config, initialise(config, 1));
  const { ops } = model;
  const { image_size: size } = config.vision_cfg;
  const random = randomStream(1, "bench");
  const uniform = (count: number): Float32Array => Float32Array.from({ length: count }, () => random.next());
  const pixels = ops.tensor(uniform(batch * size * size * 3), [batch, size, size, 3]);
  switch (kind) {
    case "forward":
      return async () => ops.tidy(() => void ops.read(encodeImages(model, pixels, "nothing").features));
    case "pgd": {
      const encoder = clipAttackEncoder(model);
      const targets = uniform(batch * config.embed_dim);
      return async () => {
        await pgd(ops, encoder, { clean: pixels, targets }, attackOptions);
      };
    }
    case "train": {
      const optimizer = createOptimizer(model, {
        optimizer: "adamw",
        weightDecay: 0.2,
        beta1: 0.9,
        beta2: 0.98,
        epsilon: 1e-6,
      });
      const tokens = tokenBatch(
        Array.from({ length: batch }, (_, row) => captionOf(row)),
        config.text_cfg,
      );
      return async () => void trainStep(model, optimizer, { images: pixels, tokens, learningRate: 1e-5 });
    }
  }
}

function captionOf(row: number): Int32Array {
  const ids = new Int32Array(77);
  const length = captionLengths[row % captionLengths.length] ?? 0;
  ids[0] = 49406;
  for (let at = 1; at <= length; at++) ids[at] = 320 + ((row * 7919 + at * 104729) % 48000);
  ids[length + 1] = 49407;
  return ids;
}

function prepareHead(
  runtime: Runtime,
  { method, rows, dim }: Extract<Work, { method: unknown }>,
): () => Promise<void> {
  const random = randomStream(1, "bench");
  const width = 14;
  const features = Float32Array.from({ length: rows * dim }, () => random.normal());
  const labels = Int32Array.from({ length: rows * width }, () => (random.next() < 0.15 ? 1 : 0));
  const options = trainingOptions(headParams.parse({ method, epochs: 1 }), {
    header: {
      dataset: "bench",
      split: "train",
      labels: Array.from({ length: width }, (_, k) => `label ${k}`),
      ids: [],
      feature: "projected",
    },
    count: rows,
    dim,
    features,
    labels,
  });
  const data = { features: { rows, cols: dim, data: features }, labels };
  const order = Array.from({ length: rows }, (_, row) => row);
  return async () => {
    const state = startTraining(runtime, data, options, initialWeights(options.shape, 1), 1);
    for (const _ of trainHead(runtime, data, options, state, () => order));
  };
}
