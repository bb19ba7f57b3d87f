import { linearNames } from "../nn/block-names.ts";
import { gelu, geluBackward } from "../nn/gelu.ts";
import type { GeluSaved } from "../nn/gelu.ts";
import { layerNorm, layerNormBackward } from "../nn/layer-norm.ts";
import type { LayerNormSaved } from "../nn/layer-norm.ts";
import { linear, linearBackward } from "../nn/linear.ts";
import type { Ops, Tensor } from "../nn/ops.ts";
import { parameter } from "../nn/parameters.ts";
import type { Gradients, Keep, Parameters } from "../nn/parameters.ts";
import { keyMask } from "../nn/post-norm-attention.ts";
import { postNormBlock, postNormBlockBackward } from "../nn/post-norm-block.ts";
import type { PostNormNames, PostNormSaved, PostNormShape } from "../nn/post-norm-block.ts";
import type { BertConfig } from "./config.ts";
import type { ClipModel } from "./model.ts";
import type { EncodedTexts } from "./text.ts";
import { embedTokens } from "./tokens.ts";
import type { TokenBatch } from "./tokens.ts";

const epsilon = 1e-12;

const embeddings = "text.transformer.embeddings";
/** Name of the table of word pieces. */
export const wordEmbeddings: string = `${embeddings}.word_embeddings.weight`;
const positions = `${embeddings}.position_embeddings.weight`;
const types = `${embeddings}.token_type_embeddings.weight`;
const pooler = linearNames("text.transformer.pooler.dense");

/** Activations for the backward pass of a BERT. */
export interface BertTextSaved {
  readonly tower: "bert";
  readonly tokens: TokenBatch;
  readonly ids: Tensor;
  readonly mask: Tensor | undefined;
  readonly norm: LayerNormSaved;
  readonly blocks: PostNormSaved[];
  readonly first: Tensor;
  readonly readOut: ReadOutSaved;
}

/** `encodeTexts` for a BERT (METHOD 3.2): read at [CLS], through its pooler where the configuration says so. */
export function encodeBertTexts(
  model: ClipModel,
  config: BertConfig,
  tokens: TokenBatch,
  keep: Keep,
): EncodedTexts {
  const { ops, parameters } = model;
  return ops.tidy(() => {
    const { x, ids, mask, norm, blocks } = tower(model, config, tokens, keep);
    const first = ops.gatherRows(x, firstRows(ops, tokens));
    const { features, saved: readOut } = readOutOf(ops, parameters, config, first);
    if (keep === "nothing") return { features, saved: undefined };
    return { features, saved: { tower: "bert", tokens, ids, mask, norm, blocks, first, readOut } };
  });
}

/** All tokens after the last norm, padding included: [B, length, width]. */
export function encodeBertTextTokens(model: ClipModel, config: BertConfig, tokens: TokenBatch): Tensor {
  const { ops } = model;
  return ops.tidy(() => {
    const { x } = tower(model, config, tokens, "nothing");
    return ops.reshape(x, [tokens.batch, tokens.length, config.width]);
  });
}

/** `encodeTextsBackward` for a BERT. */
export function encodeBertTextsBackward(
  model: ClipModel,
  config: BertConfig,
  saved: BertTextSaved,
  dfeatures: Tensor,
  gradients: Gradients,
): void {
  const { ops, parameters } = model;
  const { tokens, ids, mask } = saved;
  const { batch, length } = tokens;
  const { width } = config;
  const shape = blockShape(config, tokens, mask);
  ops.tidy(() => {
    const dfirst = readOutBackward(ops, parameters, config, {
      dy: dfeatures,
      saved: saved.readOut,
      first: saved.first,
      gradients,
    });
    let dx = ops.scatterRows(dfirst, firstRows(ops, tokens), batch * length);
    for (let layer = saved.blocks.length - 1; layer >= 0; layer--) {
      const next = postNormBlockBackward(ops, parameters, blockNames(layer), {
        dy: dx,
        saved: saved.blocks[layer] as PostNormSaved,
        shape,
        gradients,
      });
      dx.dispose();
      dx = next;
    }
    const dsum = layerNormBackward(ops, parameters, `${embeddings}.LayerNorm`, {
      dy: dx,
      saved: saved.norm,
      gradients,
    });
    const summed = ops.reshape(ops.sumRows(ops.reshape(dsum, [batch, length * width])), [length, width]);
    /** Rows of a table that has more of them. */
    const padded = (rows: Tensor, count: number): Tensor =>
      ops.pad(rows, [
        [0, count - rows.shape[0]],
        [0, 0],
      ]);
    gradients.set(positions, padded(summed, config.max_position_embeddings));
    gradients.set(types, padded(ops.reshape(ops.sumRows(dsum), [1, width]), config.type_vocab_size));
    gradients.set(wordEmbeddings, ops.scatterRows(dsum, ids, config.vocab_size));
    ops.free(saved);
    return [...gradients.values()];
  });
}

/** Embeddings, their norm and all blocks: [B·L, width]. Runs inside the caller's `tidy`. */
function tower(
  model: ClipModel,
  config: BertConfig,
  tokens: TokenBatch,
  keep: Keep,
): {
  x: Tensor;
  ids: Tensor;
  mask: Tensor | undefined;
  norm: LayerNormSaved;
  blocks: PostNormSaved[];
} {
  const { ops, parameters } = model;
  const { batch, length } = tokens;
  const { width, layers } = config;
  const ids = ops.tensor(tokens.ids, [batch * length]);
  const mask = config.attend_padding ? undefined : paddingMask(ops, config, tokens);
  const shape = blockShape(config, tokens, mask);
  const embedded = ops.tidy(() => {
    const grouped = ops.reshape(embedTokens(ops, parameter(parameters, wordEmbeddings), ids, tokens), [
      batch,
      length,
      width,
    ]);
    const placed = ops.add(grouped, ops.slice(parameter(parameters, positions), [0, 0], [length, width]));
    // A caption is one segment: all its tokens are of the first type.
    const sum = ops.add(placed, ops.slice(parameter(parameters, types), [0, 0], [1, width]));
    return layerNorm(
      ops,
      parameters,
      `${embeddings}.LayerNorm`,
      ops.reshape(sum, [batch * length, width]),
      epsilon,
    );
  });
  let x = embedded.y;
  const blocks: PostNormSaved[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const { y, saved } = postNormBlock(ops, parameters, blockNames(layer), { x, shape, keep });
    if (saved) blocks.push(saved);
    // Where weights are trained, a block keeps its input.
    if (keep !== "all") x.dispose();
    x = y;
  }
  return { x, ids, mask, norm: embedded.saved, blocks };
}

const blockNames = (layer: number): PostNormNames => {
  const prefix = `text.transformer.encoder.layer.${layer}`;
  return {
    attention: {
      query: linearNames(`${prefix}.attention.self.query`),
      key: linearNames(`${prefix}.attention.self.key`),
      value: linearNames(`${prefix}.attention.self.value`),
      out: linearNames(`${prefix}.attention.output.dense`),
      norm: `${prefix}.attention.output.LayerNorm`,
    },
    mlp: {
      fc: linearNames(`${prefix}.intermediate.dense`),
      proj: linearNames(`${prefix}.output.dense`),
      norm: `${prefix}.output.LayerNorm`,
    },
  };
};

function blockShape(
  { heads }: BertConfig,
  { batch, length }: TokenBatch,
  mask: Tensor | undefined,
): PostNormShape {
  return { batch, tokens: length, heads, epsilon, ...(mask && { mask }) };
}

/** See `keyMask`: padding is not attended to. */
function paddingMask(ops: Ops, { heads, pad_id }: BertConfig, { batch, length, ids }: TokenBatch): Tensor {
  return keyMask(
    ops,
    Array.from(ids, (id) => id !== pad_id),
    { batch, heads, keys: length },
  );
}

/** Rows of [CLS] in [B·L, width]. */
function firstRows(ops: Ops, { batch, length, pooled }: TokenBatch): Tensor {
  return ops.tensor(
    Int32Array.from(pooled, (position, row) => row * length + position),
    [batch],
  );
}

/** What the way back from the features to [CLS] needs. */
interface ReadOutSaved {
  /** What BERT's pooler gives, where it is used: [B, width]. */
  readonly pooled: Tensor | undefined;
  /** Between the two matrices of an `mlp` projection. */
  readonly hidden: { readonly gelu: GeluSaved; readonly y: Tensor } | undefined;
}

/** From the hidden state of [CLS], [B, width], to features [B, embed_dim]. Runs inside the caller's `tidy`. */
function readOutOf(
  ops: Ops,
  parameters: Parameters,
  config: BertConfig,
  first: Tensor,
): { features: Tensor; saved: ReadOutSaved } {
  const pooled =
    config.hf_pooler_type === "cls_pooler" ? ops.tanh(linear(ops, parameters, pooler, first)) : undefined;
  const read = pooled ?? first;
  if (config.hf_proj_type === "linear") {
    const features = ops.matMul(read, parameter(parameters, "text.proj.weight"));
    return { features, saved: { pooled, hidden: undefined } };
  }
  const activated = gelu(ops, ops.matMul(read, parameter(parameters, "text.proj.0.weight")), false);
  const features = ops.matMul(activated.y, parameter(parameters, "text.proj.2.weight"));
  return { features, saved: { pooled, hidden: { gelu: activated.saved, y: activated.y } } };
}

/** Backward pass of `readOutOf`: dy [B, embed_dim] -> the gradient of [CLS]. Runs inside the caller's `tidy`. */
function readOutBackward(
  ops: Ops,
  parameters: Parameters,
  config: BertConfig,
  {
    dy,
    saved: { pooled, hidden },
    first,
    gradients,
  }: { dy: Tensor; saved: ReadOutSaved; first: Tensor; gradients: Gradients },
): Tensor {
  const back = (name: string, x: Tensor, rows: Tensor): Tensor => {
    gradients.set(name, ops.matMul(x, rows, true, false));
    return ops.matMul(rows, parameter(parameters, name), false, true);
  };
  const read = pooled ?? first;
  const dread = hidden
    ? back(
        "text.proj.0.weight",
        read,
        geluBackward(ops, back("text.proj.2.weight", hidden.y, dy), hidden.gelu, false),
      )
    : back("text.proj.weight", read, dy);
  if (config.hf_pooler_type !== "cls_pooler" || !pooled) return dread;
  const dpooler = ops.mul(dread, ops.sub(ops.scalar(1), ops.square(pooled)));
  return linearBackward(ops, parameters, pooler, { dy: dpooler, x: first, gradients });
}
