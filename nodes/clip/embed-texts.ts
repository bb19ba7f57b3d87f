import type { ModelTokenizer } from "./folder.ts";
import type { ClipModel } from "./model.ts";
import { encodeTexts } from "./text.ts";
import { tokenBatch } from "./tokens.ts";

/**
 * Features of texts from a model's text tower, not normalised.
 *
 * @param onBatch hears how many texts are done; may throw to stop
 * @returns [N, embed_dim] row-major
 */
export function embedTexts(
  model: ClipModel,
  tokenizer: ModelTokenizer,
  texts: readonly string[],
  { batchSize, onBatch = () => undefined }: { readonly batchSize: number; onBatch?(done: number): void },
): Float32Array {
  const { embed_dim: dim, text_cfg } = model.config;
  const features = new Float32Array(texts.length * dim);
  for (let start = 0; start < texts.length; start += batchSize) {
    const rows = texts.slice(start, start + batchSize).map((text) => tokenizer.encode(text));
    const values = model.ops.tidy(() =>
      Float32Array.from(model.ops.read(encodeTexts(model, tokenBatch(rows, text_cfg), "nothing").features)),
    );
    features.set(values, start * dim);
    onBatch(start + rows.length);
  }
  return features;
}
