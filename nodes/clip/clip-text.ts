import { block, blockBackward } from "../nn/block.ts";
import type { BlockSaved, BlockShape } from "../nn/block.ts";
import { openClipBlock } from "../nn/block-names.ts";
import type { BlockNames } from "../nn/block-names.ts";
import { layerNorm, layerNormBackward } from "../nn/layer-norm.ts";
import type { LayerNormSaved } from "../nn/layer-norm.ts";
import type { Ops, Tensor } from "../nn/ops.ts";
import { parameter } from "../nn/parameters.ts";
import { createPooling, freePooling, pooledBlock, pooledBlockBackward } from "../nn/pooled-block.ts";
import type { Pooling, PooledBlockSaved } from "../nn/pooled-block.ts";
import type { Gradients, Keep } from "../nn/parameters.ts";
import type { ClipTextConfig } from "./config.ts";
import type { ClipModel } from "./model.ts";
import type { EncodedTexts } from "./text.ts";
import { embedTokens } from "./tokens.ts";
import type { TokenBatch } from "./tokens.ts";

/** Activations for the backward pass of CLIP's text transformer. */
export interface ClipTextSaved {
  readonly tower: "clip";
  readonly tokens: TokenBatch;
  readonly ids: Tensor;
  readonly pooling: Pooling;
  readonly blocks: BlockSaved[];
  readonly lastBlock: PooledBlockSaved;
  readonly normFinal: LayerNormSaved;
  readonly pooled: Tensor;
  readonly mask: Tensor;
}

/** `encodeTexts` for CLIP's text transformer (METHOD 3.1), pooled at the end of each text. */
export function encodeClipTexts(
  model: ClipModel,
  config: ClipTextConfig,
  tokens: TokenBatch,
  keep: Keep,
): EncodedTexts {
  const { ops, parameters } = model;
  const { layers } = config;
  return ops.tidy(() => {
    const { x, ids, mask, blocks } = tower(model, config, tokens, { keep, layers: layers - 1 });
    const pooling = createPooling(ops, {
      ...blockShape(model, config, tokens, mask),
      positions: tokens.pooled,
      causal: true,
    });
    const last = pooledBlock(ops, parameters, blockName(layers - 1), { x, pooling, keep });
    const { y: pooled, saved: normFinal } = layerNorm(ops, parameters, "ln_final", last.y);
    const features = ops.matMul(pooled, parameter(parameters, "text_projection"));
    if (!last.saved) return { features, saved: undefined };
    const lastBlock = last.saved;
    return {
      features,
      saved: { tower: "clip", tokens, ids, pooling, blocks, lastBlock, normFinal, pooled, mask },
    };
  });
}

/** All tokens after the final norm: [B, length, width]. */
export function encodeClipTextTokens(model: ClipModel, config: ClipTextConfig, tokens: TokenBatch): Tensor {
  const { ops, parameters } = model;
  return ops.tidy(() => {
    const { x } = tower(model, config, tokens, { keep: "nothing", layers: config.layers });
    const { y } = layerNorm(ops, parameters, "ln_final", x);
    return ops.reshape(y, [tokens.batch, tokens.length, config.width]);
  });
}

/** `encodeTextsBackward` for CLIP's text transformer. */
export function encodeClipTextsBackward(
  model: ClipModel,
  config: ClipTextConfig,
  saved: ClipTextSaved,
  dfeatures: Tensor,
  gradients: Gradients,
): void {
  const { ops, parameters } = model;
  const { batch, length } = saved.tokens;
  const { width, context_length: context, vocab_size: vocabulary } = config;
  const shape = blockShape(model, config, saved.tokens, saved.mask);
  ops.tidy(() => {
    gradients.set("text_projection", ops.matMul(saved.pooled, dfeatures, true, false));
    const dpooled = ops.matMul(dfeatures, parameter(parameters, "text_projection"), false, true);
    const dends = layerNormBackward(ops, parameters, "ln_final", {
      dy: dpooled,
      saved: saved.normFinal,
      gradients,
    });
    let dx = pooledBlockBackward(ops, parameters, blockName(saved.blocks.length), {
      dy: dends,
      saved: saved.lastBlock,
      pooling: saved.pooling,
      gradients,
    });
    for (let layer = saved.blocks.length - 1; layer >= 0; layer--) {
      const next = blockBackward(ops, parameters, blockName(layer), {
        dy: dx,
        saved: saved.blocks[layer] as BlockSaved,
        shape,
        gradients,
      });
      dx.dispose();
      dx = next;
    }
    const positions = ops.sumRows(ops.reshape(dx, [batch, length * width]));
    gradients.set(
      "positional_embedding",
      ops.pad(ops.reshape(positions, [length, width]), [
        [0, context - length],
        [0, 0],
      ]),
    );
    gradients.set("token_embedding.weight", ops.scatterRows(dx, saved.ids, vocabulary));
    const { normFinal, pooled, ids, mask } = saved;
    ops.dispose(normFinal.normalised, normFinal.rstd, pooled, ids, mask);
    freePooling(ops, saved.pooling);
    return [...gradients.values()];
  });
}

/** Embedding, positions and the first `layers` blocks: [B·L, width]. Runs inside the caller's `tidy`. */
function tower(
  model: ClipModel,
  config: ClipTextConfig,
  tokens: TokenBatch,
  { keep, layers }: { keep: Keep; layers: number },
): { x: Tensor; ids: Tensor; mask: Tensor; blocks: BlockSaved[] } {
  const { ops, parameters } = model;
  const { batch, length } = tokens;
  const { width } = config;
  const ids = ops.tensor(tokens.ids, [batch * length]);
  const mask = causalMask(ops, length);
  const shape = blockShape(model, config, tokens, mask);
  let x = ops.tidy(() => {
    const embedded = embedTokens(ops, parameter(parameters, "token_embedding.weight"), ids, tokens);
    const grouped = ops.reshape(embedded, [batch, length, width]);
    const positions = ops.slice(parameter(parameters, "positional_embedding"), [0, 0], [length, width]);
    return ops.reshape(ops.add(grouped, positions), [batch * length, width]);
  });
  const blocks: BlockSaved[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const { y, saved } = block(ops, parameters, blockName(layer), { x, shape, keep });
    if (saved) blocks.push(saved);
    x.dispose();
    x = y;
  }
  return { x, ids, mask, blocks };
}

const blockName = (layer: number): BlockNames => openClipBlock(`transformer.resblocks.${layer}`);

function blockShape(
  { config: { quick_gelu: quickGelu }, recompute }: ClipModel,
  { heads }: ClipTextConfig,
  { batch, length }: TokenBatch,
  mask: Tensor,
): BlockShape {
  return { batch, tokens: length, heads, mask, quickGelu, recompute };
}

/** [L, L]: 0 up to the diagonal, a number above it that no softmax survives. */
function causalMask(ops: Ops, length: number): Tensor {
  const values = new Float32Array(length * length);
  for (let row = 0; row < length; row++) {
    for (let column = row + 1; column < length; column++) values[row * length + column] = -1e9;
  }
  return ops.tensor(values, [length, length]);
}
