import { clipAttackEncoder } from "../../nodes/attack/clip-encoder.ts";
import { pgd } from "../../nodes/attack/pgd.ts";
import type { PgdOptions } from "../../nodes/attack/pgd.ts";
import type { VitClipConfig } from "../../nodes/clip/config.ts";
import { initialise } from "../../nodes/clip/initialise.ts";
import { createClipModel } from "../../nodes/clip/model.ts";
import { createOptimizer } from "../../nodes/clip/optimizer.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { trainStep } from "../../nodes/clip/train-step.ts";
import { encodeImages } from "../../nodes/clip/vision.ts";
import type { Runtime } from "../../nodes/compute/types.ts";
import { randomStream } from "../../nodes/random.ts";
import { captionLengths } from "./pairs.ts";
import type { ClipWork } from "./pairs.ts";

export const attackOptions: PgdOptions = {
  loss: "embed_cos",
  norm: "linf",
  eps: 8 / 255,
  alpha: 1 / 255,
  steps: 2,
  boxClip: "each_step",
  tau: 1,
};

export const adamw = {
  optimizer: "adamw",
  weightDecay: 0.2,
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-6,
} as const;

/** Work on a CLIP with random weights, images and captions, to be done any number of times. */
export function prepareClip(
  runtime: Runtime,
  {
    kind,
    config,
    batch,
  }: { readonly kind: ClipWork["kind"]; readonly config: VitClipConfig; readonly batch: number },
): () => Promise<void> {
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
      const optimizer = createOptimizer(model, adamw);
      const tokens = tokenBatch(
        Array.from({ length: batch }, (_, row) => captionOf(row)),
        config.text_cfg,
      );
      return async () => void trainStep(model, optimizer, { images: pixels, tokens, learningRate: 1e-5 });
    }
  }
}

/** Token ids of a caption of a real length: [context]. */
export function captionOf(row: number): Int32Array {
  const ids = new Int32Array(77);
  const length = captionLengths[row % captionLengths.length] ?? 0;
  ids[0] = 49406;
  for (let at = 1; at <= length; at++) ids[at] = 320 + ((row * 7919 + at * 104729) % 48000);
  ids[length + 1] = 49407;
  return ids;
}
