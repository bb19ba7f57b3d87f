import { setImmediate } from "node:timers/promises";
import { clipAttackEncoder } from "../../nodes/attack/clip-encoder.ts";
import { pgd } from "../../nodes/attack/pgd.ts";
import { clipPresets } from "../../nodes/clip/config.ts";
import type { VitClipConfig } from "../../nodes/clip/config.ts";
import { initialise } from "../../nodes/clip/initialise.ts";
import { createClipModel, disposeClipModel } from "../../nodes/clip/model.ts";
import { createOptimizer } from "../../nodes/clip/optimizer.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { trainStepInParts } from "../../nodes/clip/train-step.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import type { BackendName, Runtime } from "../../nodes/compute/types.ts";
import type { Ops, Tensor } from "../../nodes/nn/ops.ts";
import { randomStream } from "../../nodes/random.ts";
import { adamw, attackOptions } from "./clip-work.ts";
import type { Finding } from "./findings.ts";
import { headTraining } from "./head-work.ts";

const early = 200;
const late = 2000;
/** Share by which memory may have grown meanwhile: allocators keep more in reserve the more sizes they have seen. */
const tolerance = 0.1;

/** As small as can be: what grows does so by the number of its tensors. */
const { vision_cfg: vision, text_cfg: text, ...nano } = clipPresets["vit-nano"];
const config: VitClipConfig = {
  ...nano,
  embed_dim: 16,
  vision_cfg: { ...vision, image_size: 16, width: 32 },
  text_cfg: { ...text, context_length: 24, vocab_size: 128, width: 32, heads: 2 },
};
const batch = 6;

/** What there is after some steps. */
interface Sample {
  readonly tensors: number;
  /** Bytes in memory, without V8's heap: it grows by tens of megabytes when it sees fit, whatever is in it. */
  readonly resident: number;
}

/** Trains, attacks and trains heads for 2,000 steps each, whose texts and batches are of changing sizes. */
export async function measureGrowth(): Promise<Finding> {
  const figures: Record<string, number> = {};
  const found: string[] = [];
  let holds = true;
  for (const backend of ["tensorflow", "wasm"] as const satisfies readonly BackendName[]) {
    const runtime = await openRuntime({ backend, threads: 1 });
    for (const [kind, steps] of [
      ["train", trainingSteps],
      ["pgd", attackSteps],
      ["head", headSteps],
    ] as const) {
      const [first, last] = await samples(runtime, steps(runtime));
      const name = `${backend} ${kind}`;
      figures[`${name}: tensors at ${early}`] = first.tensors;
      figures[`${name}: tensors at ${late}`] = last.tensors;
      figures[`${name}: resident at ${early}`] = first.resident;
      figures[`${name}: resident at ${late}`] = last.resident;
      const grown = last.resident / first.resident - 1;
      holds &&= last.tensors === first.tensors && grown <= tolerance;
      found.push(
        `${name} ${first.tensors} and ${last.tensors} tensors, ${(first.resident / 1e6).toFixed(0)} and ${(last.resident / 1e6).toFixed(0)} MB`,
      );
    }
  }
  return {
    wanted: `as many tensors after ${late} steps as after ${early}, at most ${100 * tolerance} % more memory outside of V8`,
    found: found.join("; "),
    holds,
    figures,
  };
}

async function samples(runtime: Runtime, steps: AsyncIterable<unknown>): Promise<[Sample, Sample]> {
  const taken: Sample[] = [];
  let step = 0;
  for await (const _ of steps) {
    step++;
    // As nodes do between steps: it is then that what was collected as garbage is freed.
    await setImmediate();
    if (step !== early && step !== late) continue;
    globalThis.gc?.();
    const { rss, heapTotal } = process.memoryUsage();
    taken.push({ tensors: runtime.tf.memory().numTensors, resident: rss - heapTotal });
    if (step === late) break;
  }
  const [first, last] = taken;
  if (!first || !last) throw new Error(`there were ${step} steps`);
  return [first, last];
}

async function* trainingSteps(runtime: Runtime): AsyncGenerator<void> {
  const model = createClipModel(runtime, config, initialise(config, 1));
  const { ops } = model;
  const optimizer = createOptimizer(model, adamw);
  const random = randomStream(1, "growth");
  try {
    for (let step = 0; step < late; step++) {
      const sizes = step % 3 === 0 ? [batch / 2, batch / 2] : [batch - (step % 2)];
      ops.tidy(() => {
        const parts = sizes.map((size) => ({
          images: pictures(ops, size),
          tokens: tokenBatch(
            Array.from({ length: size }, () => caption(2 + random.int(20), (below) => random.int(below))),
            config.text_cfg,
          ),
        }));
        trainStepInParts(model, optimizer, { parts, learningRate: 1e-4 / (1 + step) });
      });
      yield;
    }
  } finally {
    optimizer.dispose();
    disposeClipModel(model);
  }
}

/** One attack after the other, of ten steps each. */
async function* attackSteps(runtime: Runtime): AsyncGenerator<void> {
  const model = createClipModel(runtime, config, initialise(config, 1));
  const { ops } = model;
  const encoder = clipAttackEncoder(model);
  const steps = 10;
  try {
    for (let done = 0; done < late; done += steps) {
      const size = batch - ((done / steps) % 3);
      const clean = pictures(ops, size);
      const targets = new Float32Array(size * config.embed_dim).fill(1);
      await pgd(ops, encoder, { clean, targets }, { ...attackOptions, steps });
      clean.dispose();
      for (let step = 0; step < steps; step++) yield;
    }
  } finally {
    disposeClipModel(model);
  }
}

async function* headSteps(runtime: Runtime): AsyncGenerator<void> {
  const train = headTraining(runtime, { kind: "head", method: "ran", rows: 8 * 64 - 20, dim: 24 }, late / 8);
  for (const _ of train()) yield;
}

function pictures(ops: Ops, size: number): Tensor {
  const { image_size: side } = config.vision_cfg;
  return ops.tensor(new Float32Array(size * side * side * 3).fill(0.5), [size, side, side, 3]);
}

function caption(length: number, draw: (below: number) => number): Int32Array {
  const { context_length: context, vocab_size: vocabulary } = config.text_cfg;
  const ids = new Int32Array(context);
  ids[0] = vocabulary - 2;
  for (let at = 1; at <= length; at++) ids[at] = draw(vocabulary - 2);
  ids[length + 1] = vocabulary - 1;
  return ids;
}
