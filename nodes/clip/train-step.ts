import type { Tensor } from "../nn/ops.ts";
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

/**
 * One step of CLIP's training: forward, backward, update.
 *
 * @param images normalised, [B, S, S, 3]
 * @param tokens B rows
 */
export function trainStep(
  model: ClipModel,
  optimizer: ClipOptimizer,
  { images, tokens, learningRate }: { images: Tensor; tokens: TokenBatch; learningRate: number },
): TrainStepResult {
  const { ops } = model;
  const gradients: Gradients = new Map();
  return ops.tidy(() => {
    const encodedImages = encodeImages(model, images, "all");
    const encodedTexts = encodeTexts(model, tokens, "all");
    if (!encodedImages.saved || !encodedTexts.saved) {
      throw new Error("internal error: the forward pass kept nothing");
    }
    const { loss, dimages, dtexts, dlogitScale } = contrastiveLoss(
      ops,
      encodedImages.features,
      encodedTexts.features,
      optimizer.logitScale(),
    );
    encodeImagesBackward(model, encodedImages.saved, dimages, { gradients });
    encodeTextsBackward(model, encodedTexts.saved, dtexts, gradients);
    return { loss, gradientNorm: optimizer.step(gradients, dlogitScale, learningRate) };
  });
}
