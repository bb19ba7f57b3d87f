import { describe, expect, it } from "vitest";
import { watchForDivergence } from "../../nodes/clip/divergence.ts";
import { initialise } from "../../nodes/clip/initialise.ts";
import { createClipModel, disposeClipModel, modelState } from "../../nodes/clip/model.ts";
import type { ClipModel } from "../../nodes/clip/model.ts";
import { createOptimizer } from "../../nodes/clip/optimizer.ts";
import type { ClipOptimizer } from "../../nodes/clip/optimizer.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { trainStepInParts } from "../../nodes/clip/train-step.ts";
import type { TrainStepResult } from "../../nodes/clip/train-step.ts";
import { clipPreprocess } from "../../nodes/clip/config.ts";
import type { VitClipConfig } from "../../nodes/clip/config.ts";
import { loadBackend, openRuntime } from "../../nodes/compute/runtime.ts";
import type { Runtime } from "../../nodes/compute/types.ts";
import { randomStream } from "../../nodes/random.ts";

const config: VitClipConfig = {
  embed_dim: 8,
  vision_cfg: { tower: "vit", image_size: 16, layers: 3, width: 16, head_width: 8, patch_size: 8 },
  text_cfg: { tower: "clip", context_length: 12, vocab_size: 40, width: 16, heads: 2, layers: 3 },
  quick_gelu: false,
  preprocess_cfg: clipPreprocess,
};
const pairs = 6;
const size = 16;
const pixels = 3 * size * size;

const backends = await Promise.all(
  (["cpu", "wasm", "tensorflow"] as const).map(async (backend) => ({
    backend,
    loads: (await loadBackend(backend, 1)).ok,
  })),
);

const images = (() => {
  const random = randomStream(1, "images");
  return Float32Array.from({ length: pairs * pixels }, () => random.normal());
})();

/** Captions of different lengths: start, words, end. */
const captions = Array.from({ length: pairs }, (_, row) => {
  const ids = new Int32Array(12);
  ids[0] = 38;
  for (let at = 1; at <= 1 + row; at++) ids[at] = 1 + ((7 * row + 3 * at) % 37);
  ids[2 + row] = 39;
  return ids;
});

interface Training {
  readonly model: ClipModel;
  readonly optimizer: ClipOptimizer;
  step(parts?: number): TrainStepResult;
  end(): void;
}

describe.each(backends)("training a CLIP on $backend", ({ backend, loads }) => {
  let runtime: Promise<Runtime> | undefined;
  // One for all, since each has constants of its own.
  const opened = (): Promise<Runtime> => (runtime ??= openRuntime({ backend, threads: 1 }));
  const begin = async (options: { recompute?: boolean } = {}): Promise<Training> => {
    const runtime = await opened();
    const model = { ...createClipModel(runtime, config, initialise(config, 1)), ...options };
    const optimizer = createOptimizer(model, {
      optimizer: "adamw",
      weightDecay: 0.2,
      beta1: 0.9,
      beta2: 0.98,
      epsilon: 1e-6,
    });
    const { ops } = model;
    return {
      model,
      optimizer,
      step: (parts = 1) =>
        ops.tidy(() => {
          const each = pairs / parts;
          return trainStepInParts(model, optimizer, {
            learningRate: 1e-3,
            parts: Array.from({ length: parts }, (_, part) => ({
              images: ops.tensor(images.subarray(part * each * pixels, (part + 1) * each * pixels), [
                each,
                size,
                size,
                3,
              ]),
              tokens: tokenBatch(captions.slice(part * each, (part + 1) * each), config.text_cfg),
            })),
          });
        }),
      end() {
        optimizer.dispose();
        disposeClipModel(model);
      },
    };
  };
  const values = ({ model }: Training): [string, number[]][] =>
    [...modelState(model)].map(([name, { data }]) => [name, [...data]]);

  it.skipIf(!loads)("gives the whole batch's loss and gradient in parts", async () => {
    const whole = await begin();
    const parted = await begin();
    const one = whole.step();
    const three = parted.step(3);
    expect(three.loss).toBeCloseTo(one.loss, 5);
    expect(three.gradientNorm / one.gradientNorm).toBeCloseTo(1, 4);
    // The first moment is a tenth of the gradient.
    const expected = whole.optimizer.save().tensors;
    for (const [name, { data }] of parted.optimizer.save().tensors) {
      if (!name.startsWith("first/")) continue;
      data.forEach((value, at) => {
        const wanted = expected.get(name)?.data[at] as number;
        expect(Math.abs(value - wanted), `${name}[${at}]`).toBeLessThan(1e-6 + 1e-4 * Math.abs(wanted));
      });
    }
    whole.end();
    parted.end();
  });

  it.skipIf(!loads)("gives the same bits where blocks are computed again", async () => {
    const kept = await begin();
    const recomputed = await begin({ recompute: true });
    expect([recomputed.step(), recomputed.step(2)]).toEqual([kept.step(), kept.step(2)]);
    expect(values(recomputed)).toEqual(values(kept));
    kept.end();
    recomputed.end();
  });

  it.skipIf(!loads)("keeps no tensor of a step, and none at the end", async () => {
    const { tf } = await opened();
    // Constants are made once for all.
    const warm = await begin({ recompute: true });
    warm.step(2);
    warm.end();
    const before = tf.memory().numTensors;
    const training = await begin();
    const during = tf.memory().numTensors;
    for (let step = 0; step < 20; step++) {
      training.step(1 + (step % 3));
      expect(tf.memory().numTensors).toBe(during);
    }
    training.end();
    expect(tf.memory().numTensors).toBe(before);
  });

  it.skipIf(!loads)("goes on from a saved state with the same bits", async () => {
    const through = await begin();
    through.step();
    const saved = through.optimizer.save();
    const copy = new Map(
      [...saved.tensors].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
    );
    const resumed = await begin();
    resumed.step();
    resumed.step();
    resumed.optimizer.restore({ tensors: copy, step: saved.step });
    expect(resumed.step()).toEqual(through.step());
    expect(values(resumed)).toEqual(values(through));
    through.end();
    resumed.end();
  });

  it.skipIf(!loads)("moves nothing by a gradient that is no number", async () => {
    const training = await begin();
    training.step();
    const before = values(training);
    const { ops, parameters } = training.model;
    const broken = new Map(
      [...parameters.keys()]
        .filter((name) => name !== "logit_scale")
        .map((name) => {
          const { size: count, shape } = parameters.get(name)!;
          return [name, ops.tensor(new Float32Array(count).fill(Number.NaN), shape)] as const;
        }),
    );
    expect(training.optimizer.step(broken, 0, 1e-3)).toBeNaN();
    expect(values(training)).toEqual(before);
    training.end();
  });
});

describe("divergence", () => {
  it("is seen at once in what is no number", () => {
    const watch = watchForDivergence(16, () => undefined);
    expect(watch(2, 1)).toBeUndefined();
    expect(watch(Number.NaN, 1)).toMatch(/loss is not a finite/);
    expect(watch(2, Infinity)).toMatch(/gradient is not a finite/);
  });

  it("is seen in a mean loss far above the start, not in single steps", () => {
    const watch = watchForDivergence(16, () => 2);
    for (let step = 0; step < 100; step++) expect(watch(step % 10 === 0 ? 20 : 2, 1)).toBeUndefined();
    const seen = Array.from({ length: 50 }, () => watch(20, 1));
    expect(seen.at(-1)).toMatch(/last 50 steps is 20\.00, after 2\.77/);
  });
});
