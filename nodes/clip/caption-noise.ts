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
      const { id, captionNoise: of } = pairs[index] as ImageText;
      if (!of) return;
      const random = randomStream(of.seed, "caption-noise", id);
      const start = row * tokens.length * width;
      const end = start + (tokens.lengths[row] as number) * width;
      for (let at = start; at < end; at++) noise[at] = of.relSigma * spread * random.normal();
    });
    return { ...tokens, noise };
  };
}

/** Population standard deviation, in double precision. */
function standardDeviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}
