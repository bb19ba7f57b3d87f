import type { Ops, Tensor } from "../nn/ops.ts";
import type { Gradients } from "../nn/parameters.ts";
import { contrastiveLoss } from "./contrastive.ts";
import type { ClipModel } from "./model.ts";
import type { ClipOptimizer } from "./optimizer.ts";
import { encodeTexts, encodeTextsBackward } from "./text.ts";
import type { TokenBatch } from "./tokens.ts";
import { encodeImages, encodeImagesBackward } from "./vision.ts";

export interface TrainStepResult {
  /** Before the update. */
  readonly loss: number;
  /** Global norm of the gradients, not clipped. */
  readonly gradientNorm: number;
}

/** Pairs that go through the towers at once. */
export interface TrainPart {
  /** Normalised, [B, S, S, 3]. */
  readonly images: Tensor;
  /** B rows. */
  readonly tokens: TokenBatch;
}

/** One step of CLIP's training: forward, backward, update. */
export function trainStep(
  model: ClipModel,
  optimizer: ClipOptimizer,
  { learningRate, ...part }: TrainPart & { readonly learningRate: number },
): TrainStepResult {
  const { ops } = model;
  const gradients: Gradients = new Map();
  return ops.tidy(() => {
    const { images, texts } = encode(model, part);
    const { loss, dimages, dtexts, dlogitScale } = contrastiveLoss(
      ops,
      images.features,
      texts.features,
      optimizer.logitScale(),
    );
    encodeImagesBackward(model, images.saved, dimages, { gradients });
    encodeTextsBackward(model, texts.saved, dtexts, gradients);
    return { loss, gradientNorm: optimizer.step(gradients, dlogitScale, learningRate) };
  });
}

/**
 * The same step with its batch in parts, for batches that do not fit into memory: features of all parts first, the
 * loss of the whole batch on them, then each part forward and back again with its share of the features' gradient.
 * Every pair is contrasted with the whole batch, as in open_clip's `accum_freq`, at the cost of one more forward pass.
 * Numbers differ from those of one part by rounding alone.
 */
export function trainStepInParts(
  model: ClipModel,
  optimizer: ClipOptimizer,
  { parts, learningRate }: { readonly parts: readonly TrainPart[]; readonly learningRate: number },
): TrainStepResult {
  const [only] = parts;
  if (only && parts.length === 1) return trainStep(model, optimizer, { ...only, learningRate });
  const { ops } = model;
  const gradients: Gradients = new Map();
  return ops.tidy(() => {
    const features = parts.map(({ images, tokens }) =>
      ops.tidy(() => ({
        images: encodeImages(model, images, "nothing").features,
        texts: encodeTexts(model, tokens, "nothing").features,
      })),
    );
    const { loss, dimages, dtexts, dlogitScale } = contrastiveLoss(
      ops,
      ops.concat(
        features.map(({ images }) => images),
        0,
      ),
      ops.concat(
        features.map(({ texts }) => texts),
        0,
      ),
      optimizer.logitScale(),
    );
    let begin = 0;
    for (const part of parts) {
      const made = ops.tidy(() => {
        const { images, texts } = encode(model, part);
        const [rows = 0, width = 0] = images.features.shape;
        const share = (of: Tensor): Tensor => ops.slice(of, [begin, 0], [rows, width]);
        const own: Gradients = new Map();
        encodeImagesBackward(model, images.saved, share(dimages), { gradients: own });
        encodeTextsBackward(model, texts.saved, share(dtexts), own);
        begin += rows;
        return Object.fromEntries(own);
      });
      addTo(ops, gradients, made);
    }
    return { loss, gradientNorm: optimizer.step(gradients, dlogitScale, learningRate) };
  });
}

/** Adds gradients to others by name, and frees both summands. */
function addTo(ops: Ops, sums: Gradients, made: Readonly<Record<string, Tensor>>): void {
  for (const [name, gradient] of Object.entries(made)) {
    const before = sums.get(name);
    sums.set(name, before ? ops.add(before, gradient) : gradient);
    if (before) ops.dispose(before, gradient);
  }
}

/** Both towers' forward pass, with all that the backward pass needs. */
function encode(model: ClipModel, { images, tokens }: TrainPart) {
  const encodedImages = encodeImages(model, images, "all");
  const encodedTexts = encodeTexts(model, tokens, "all");
  if (!encodedImages.saved || !encodedTexts.saved) {
    throw new Error("internal error: the forward pass kept nothing");
  }
  return {
    images: { features: encodedImages.features, saved: encodedImages.saved },
    texts: { features: encodedTexts.features, saved: encodedTexts.saved },
  };
}
