import { NodeError } from "../../engine/sdk.ts";
import type { ComputeRequest, InputArtifact, JsonObject } from "../../engine/sdk.ts";
import { encodeTextTokens } from "../clip/text.ts";
import { openTokenizer, readClipModel } from "../clip/folder.ts";
import { createClipModel, disposeClipModel } from "../clip/model.ts";
import { tokenBatch } from "../clip/tokens.ts";
import { openRuntime } from "../compute/runtime.ts";

/** Hidden states of a text's tokens, [CLS] first and [SEP] last: [length, width] row-major. */
export interface TokenStates {
  readonly length: number;
  readonly width: number;
  readonly values: Float32Array;
}

/**
 * BERTScore-F1 (Zhang et al. 2020), without idf weights or rescaling: each token of either text takes the largest cosine
 * with any token of the other, marks included; the means over both texts' tokens, without marks, are precision and recall.
 *
 * @returns 0 where a text has no tokens
 */
export function bertScore(reference: TokenStates, candidate: TokenStates): number {
  if (reference.length <= 2 || candidate.length <= 2) return 0;
  const [a, b] = [unitRows(reference), unitRows(candidate)];
  const nearest = [new Float64Array(a.length).fill(-1), new Float64Array(b.length).fill(-1)] as const;
  for (const [i, row] of a.entries()) {
    for (const [j, other] of b.entries()) {
      const cosine = row.reduce((sum, value, at) => sum + value * (other[at] as number), 0);
      nearest[0][i] = Math.max(nearest[0][i]!, cosine);
      nearest[1][j] = Math.max(nearest[1][j]!, cosine);
    }
  }
  const [recall, precision] = nearest.map((cosines) => mean(cosines.subarray(1, -1))) as [number, number];
  return precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
}

/** Compares captions by the BERT of a model's text tower. */
export interface BertScorer {
  readonly provenance: JsonObject;
  score(reference: string, candidate: string): number;
  close(): void;
}

/**
 * Opens the BERT of a `clip-model`.
 *
 * @param layer whose hidden states are compared, from 1; the last unless told
 * @throws NodeError where its text tower is no BERT, or has fewer layers
 */
export async function openBertScorer(
  artifact: InputArtifact,
  { compute, layer }: { readonly compute: ComputeRequest; readonly layer: number | undefined },
): Promise<BertScorer> {
  const stored = await readClipModel(artifact);
  const { text_cfg: text } = stored.config;
  if (text.tower !== "bert")
    throw new NodeError("the text tower of `scorer` is no BERT", {
      hint: "BERTScore compares the tokens of a BERT: bind a model such as BiomedCLIP or PMC-CLIP.",
    });
  const layers = layer ?? text.layers;
  if (layers > text.layers)
    throw new NodeError(`\`bertLayer: ${layer}\` is more than the ${text.layers} layers of \`scorer\``);
  const tokenizer = await openTokenizer(stored);
  const runtime = await openRuntime(compute);
  const config = { ...stored.config, text_cfg: { ...text, layers } };
  const weights = [...stored.state].filter(([name]) => name.startsWith("text."));
  const model = createClipModel(runtime, config, new Map(weights));
  const statesOf = (caption: string): TokenStates => {
    const batch = tokenBatch([tokenizer.encode(caption)], text);
    const length = batch.lengths[0]!;
    const values = model.ops.tidy(() => model.ops.read(encodeTextTokens(model, batch)));
    return { length, width: text.width, values: values.slice(0, length * text.width) };
  };
  return {
    provenance: runtime.provenance,
    score: (reference, candidate) => bertScore(statesOf(reference), statesOf(candidate)),
    close: () => disposeClipModel(model),
  };
}

function unitRows({ length, width, values }: TokenStates): readonly Float64Array[] {
  return Array.from({ length }, (_, row) => {
    const unit = Float64Array.from(values.subarray(row * width, (row + 1) * width));
    const norm = Math.hypot(...unit);
    return unit.map((value) => value / norm);
  });
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
