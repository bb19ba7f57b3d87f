import type { RunningUpdates } from "../nn/conv-norm.ts";
import type { Tensor } from "../nn/ops.ts";
import type { Gradients, Keep } from "../nn/parameters.ts";
import type { ClipModel } from "./model.ts";
import { encodeResNet, encodeResNetBackward, encodeResNetTokens } from "./resnet.ts";
import type { ResNetSaved } from "./resnet.ts";
import { encodeVit, encodeVitBackward, encodeVitTokens } from "./vit.ts";
import type { VitSaved } from "./vit.ts";

/** Activations for the backward pass of an image tower. */
export type VisionSaved = VitSaved | ResNetSaved;

export interface EncodedImages {
  /** [B, embed_dim], not normalised. */
  readonly features: Tensor;
  /** [B, width]: what the projection takes. */
  readonly preProjection: Tensor;
  readonly saved: VisionSaved | undefined;
}

export interface ImageGradientOptions {
  /** Takes the gradients of the tower's parameters, where they are wanted. */
  readonly gradients?: Gradients;
  /** Asks for the gradient with respect to the normalised images. */
  readonly input?: boolean;
}

/**
 * The image tower (METHOD 3). The caller frees the results; `saved` is freed by `encodeImagesBackward`.
 *
 * @param images [B, S, S, 3], normalised, at the configuration's image size S
 * @param updates takes the new running statistics of batch norms, which then use the batch's, as in training; where it
 *   is absent they are frozen. A ViT has none.
 */
export function encodeImages(
  model: ClipModel,
  images: Tensor,
  keep: Keep,
  updates?: RunningUpdates,
): EncodedImages {
  const { vision_cfg: config } = model.config;
  return config.tower === "resnet"
    ? encodeResNet(model, config, images, keep, updates)
    : encodeVit(model, config, images, keep);
}

/**
 * What the image tower knows of each place: a ViT's tokens after the final norm, class token first
 * [B, 1 + grid², width], or a ResNet's last map [B, grid², 32 · width].
 */
export function encodeImageTokens(model: ClipModel, images: Tensor): Tensor {
  const { vision_cfg: config } = model.config;
  return config.tower === "resnet"
    ? encodeResNetTokens(model, config, images)
    : encodeVitTokens(model, config, images);
}

/**
 * Backward pass of `encodeImages`. Frees `saved`.
 *
 * @param dfeatures [B, embed_dim]
 * @returns [B, S, S, 3], or undefined where it was not asked for
 */
export function encodeImagesBackward(
  model: ClipModel,
  saved: VisionSaved,
  dfeatures: Tensor,
  options: ImageGradientOptions,
): Tensor | undefined {
  const { vision_cfg: config } = model.config;
  if (saved.tower === "resnet" && config.tower === "resnet")
    return encodeResNetBackward(model, config, saved, dfeatures, options);
  if (saved.tower === "vit" && config.tower !== "resnet")
    return encodeVitBackward(model, config, saved, dfeatures, options);
  throw new Error(`internal error: a ${config.tower} cannot go back through what a ${saved.tower} saved`);
}
