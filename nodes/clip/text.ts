import type { Tensor } from "../nn/ops.ts";
import type { Gradients, Keep } from "../nn/parameters.ts";
import { encodeBertTexts, encodeBertTextsBackward, encodeBertTextTokens } from "./bert-text.ts";
import type { BertTextSaved } from "./bert-text.ts";
import { encodeClipTexts, encodeClipTextsBackward, encodeClipTextTokens } from "./clip-text.ts";
import type { ClipTextSaved } from "./clip-text.ts";
import type { ClipModel } from "./model.ts";
import type { TokenBatch } from "./tokens.ts";

/** Activations for the backward pass of a text tower. */
export type TextSaved = ClipTextSaved | BertTextSaved;

export interface EncodedTexts {
  /** [B, embed_dim], not normalised. */
  readonly features: Tensor;
  readonly saved: TextSaved | undefined;
}

/**
 * The text tower (METHOD 3). The caller frees the results; `saved` is freed by `encodeTextsBackward`.
 *
 * @param tokens see `tokenBatch`
 */
export function encodeTexts(model: ClipModel, tokens: TokenBatch, keep: Keep): EncodedTexts {
  const { text_cfg: config } = model.config;
  return config.tower === "bert"
    ? encodeBertTexts(model, config, tokens, keep)
    : encodeClipTexts(model, config, tokens, keep);
}

/** All tokens after the last norm: [B, length, width]. */
export function encodeTextTokens(model: ClipModel, tokens: TokenBatch): Tensor {
  const { text_cfg: config } = model.config;
  return config.tower === "bert"
    ? encodeBertTextTokens(model, config, tokens)
    : encodeClipTextTokens(model, config, tokens);
}

/** Backward pass of `encodeTexts`: notes the gradients of the tower's parameters and frees `saved`. */
export function encodeTextsBackward(
  model: ClipModel,
  saved: TextSaved,
  dfeatures: Tensor,
  gradients: Gradients,
): void {
  const { text_cfg: config } = model.config;
  if (saved.tower === "bert" && config.tower === "bert")
    return encodeBertTextsBackward(model, config, saved, dfeatures, gradients);
  if (saved.tower === "clip" && config.tower === "clip")
    return encodeClipTextsBackward(model, config, saved, dfeatures, gradients);
  throw new Error(`internal error: a ${config.tower} cannot go back through what a ${saved.tower} saved`);
}
