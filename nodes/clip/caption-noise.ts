import type { ImageText } from "../formats.ts";
import { parameter } from "../nn/parameters.ts";
import { randomStream } from "../random.ts";
import { wordEmbeddings } from "./bert-text.ts";
import type { ClipModel } from "./model.ts";
import type { TokenBatch } from "./tokens.ts";

/** Adds to a batch the noise that the pairs at these indices carry. */
export type CaptionNoise = (tokens: TokenBatch, indices: readonly number[]) => TokenBatch;

/**
 * The random noise of captions (METHOD 6): where a pair says `captionNoise`, N(0, σ²) is added to the embeddings of its
 * tokens, with σ = relSigma times the standard deviation of the model's embedding table as it is now. The noise of a pair
 * follows from its id and seed alone: it is the same in every epoch, batch and run.
 *
 * @param model before training, so that σ does not change underway
 */
export function captionNoise(pairs: readonly ImageText[], model: ClipModel): CaptionNoise {
  if (pairs.every(({ captionNoise: noise }) => noise === undefined)) return (tokens) => tokens;
  const { text_cfg } = model.config;
  const table = text_cfg.tower === "bert" ? wordEmbeddings : "token_embedding.weight";
  const spread = standardDeviation(model.ops.read(parameter(model.parameters, table)));
  const { width } = text_cfg;
  return (tokens, indices) => {
    const noise = new Float32Array(tokens.batch * tokens.length * width);
    indices.forEach((index, row) => {
      const values = pairNoise(pairs[index] as ImageText, (tokens.lengths[row] as number) * width, spread);
      if (values) noise.set(values, row * tokens.length * width);
    });
    return { ...tokens, noise };
  };
}

/**
 * The noise of one pair, [values]; undefined where it carries none.
 *
 * @param values tokens of its caption times the width of an embedding
 * @param spread standard deviation of the initial model's embedding table
 */
export function pairNoise(
  { id, captionNoise: of }: ImageText,
  values: number,
  spread: number,
): Float32Array | undefined {
  if (!of) return undefined;
  const random = randomStream(of.seed, "caption-noise", id);
  return Float32Array.from({ length: values }, () => of.relSigma * spread * random.normal());
}

/** Population standard deviation, in double precision. */
export function standardDeviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}
