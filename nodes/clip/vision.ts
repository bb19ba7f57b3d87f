import { block, blockBackward } from "../nn/block.ts";
import type { BlockSaved, BlockShape } from "../nn/block.ts";
import { layerNorm, layerNormBackward } from "../nn/layer-norm.ts";
import type { LayerNormSaved } from "../nn/layer-norm.ts";
import type { Ops, Tensor } from "../nn/ops.ts";
import { parameter } from "../nn/parameters.ts";
import { createPooling, freePooling, pooledBlock, pooledBlockBackward } from "../nn/pooled-block.ts";
import type { Pooling, PooledBlockSaved } from "../nn/pooled-block.ts";
import type { Gradients, Keep } from "../nn/parameters.ts";
import { gridSize, visionHeads } from "./config.ts";
import type { ClipConfig } from "./config.ts";
import type { ClipModel } from "./model.ts";

/** Activations for the backward pass of the image tower. */
export interface VisionSaved {
  readonly pooling: Pooling;
  readonly patches: Tensor | undefined;
  readonly normPre: LayerNormSaved;
  readonly blocks: BlockSaved[];
  readonly lastBlock: PooledBlockSaved;
  readonly normPost: LayerNormSaved;
  readonly pooled: Tensor;
}

export interface EncodedImages {
  /** [B, embed_dim], not normalised. */
  readonly features: Tensor;
  /** [B, width]: what the projection takes. */
  readonly preProjection: Tensor;
  readonly saved: VisionSaved | undefined;
}

/**
 * The image tower (METHOD 3.1). The caller frees the results; `saved` is freed by `encodeImagesBackward`.
 *
 * @param images [B, S, S, 3], normalised, at the configuration's image size S
 */
export function encodeImages(model: ClipModel, images: Tensor, keep: Keep): EncodedImages {
  const { ops, config, parameters } = model;
  const batch = images.shape[0];
  const { width } = config.vision_cfg;
  const { layers } = config.vision_cfg;
  return ops.tidy(() => {
    const { x, patches, normPre, blocks } = tower(model, images, { keep, layers: layers - 1 });
    const shape = blockShape(config, batch);
    const pooling = createPooling(ops, {
      ...shape,
      positions: Array.from({ length: batch }, () => 0),
      causal: false,
    });
    const last = pooledBlock(ops, parameters, blockName(layers - 1), { x, pooling, keep });
    const { y: pooled, saved: normPost } = layerNorm(ops, parameters, "visual.ln_post", last.y);
    const features = ops.matMul(pooled, parameter(parameters, "visual.proj"));
    if (!last.saved) return { features, preProjection: pooled, saved: undefined };
    const preProjection = ops.reshape(pooled, [batch, width]);
    const lastBlock = last.saved;
    return {
      features,
      preProjection,
      saved: { pooling, patches, normPre, blocks, lastBlock, normPost, pooled },
    };
  });
}

/** All tokens after the final norm, before the projection: [B, 1 + grid², width], class token first. */
export function encodeImageTokens(model: ClipModel, images: Tensor): Tensor {
  const { ops, config, parameters } = model;
  const batch = images.shape[0];
  return ops.tidy(() => {
    const { x } = tower(model, images, { keep: "nothing", layers: config.vision_cfg.layers });
    const { y } = layerNorm(ops, parameters, "visual.ln_post", x);
    return ops.reshape(y, [batch, x.shape[0] / batch, config.vision_cfg.width]);
  });
}

/**
 * Backward pass of `encodeImages`. Frees `saved`.
 *
 * @param dfeatures [B, embed_dim]
 * @param options.gradients takes the gradients of the tower's parameters, where they are wanted
 * @param options.input asks for the gradient with respect to the normalised images
 * @returns [B, S, S, 3], or undefined where it was not asked for
 */
export function encodeImagesBackward(
  model: ClipModel,
  saved: VisionSaved,
  dfeatures: Tensor,
  options: { readonly gradients?: Gradients; readonly input?: boolean },
): Tensor | undefined {
  const { ops, config, parameters } = model;
  const { gradients } = options;
  const { patches, pooling } = saved;
  const { batch } = pooling;
  const { width } = config.vision_cfg;
  const shape = blockShape(config, batch);
  const { tokens } = shape;
  // Gradients leave the scope as part of its result.
  return ops.tidy(() => {
    if (gradients) gradients.set("visual.proj", ops.matMul(saved.pooled, dfeatures, true, false));
    const dpooled = ops.matMul(dfeatures, parameter(parameters, "visual.proj"), false, true);
    const dlast = layerNormBackward(ops, parameters, "visual.ln_post", {
      dy: dpooled,
      saved: saved.normPost,
      gradients,
    });
    let dx = pooledBlockBackward(ops, parameters, blockName(saved.blocks.length), {
      dy: dlast,
      saved: saved.lastBlock,
      pooling,
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

    const dembedded = layerNormBackward(ops, parameters, "visual.ln_pre", {
      dy: dx,
      saved: saved.normPre,
      gradients,
    });
    const grouped = ops.reshape(dembedded, [batch, tokens, width]);
    const dpatches = ops.reshape(ops.slice(grouped, [0, 1, 0], [batch, tokens - 1, width]), [
      batch * (tokens - 1),
      width,
    ]);
    if (gradients) {
      if (!patches) throw new Error("internal error: the forward pass kept no patches");
      const summed = ops.sumRows(ops.reshape(dembedded, [batch, tokens * width]));
      const positions = ops.reshape(summed, [tokens, width]);
      gradients.set("visual.positional_embedding", positions);
      // The class token is added to the first position, so both have one gradient.
      gradients.set("visual.class_embedding", ops.reshape(ops.slice(positions, [0, 0], [1, width]), [width]));
      gradients.set("visual.conv1.weight", ops.matMul(patches, dpatches, true, false));
    }
    const dimages = options.input
      ? unpatch(
          ops,
          ops.matMul(dpatches, parameter(parameters, "visual.conv1.weight"), false, true),
          config,
          batch,
        )
      : undefined;
    const { normPost, normPre, pooled } = saved;
    ops.dispose(normPost.normalised, normPost.rstd, pooled, normPre.normalised, normPre.rstd, patches);
    freePooling(ops, pooling);
    return { dimages, made: gradients ? [...gradients.values()] : [] };
  }).dimages;
}

/** Patch embedding, positions, ln_pre and the first `layers` blocks: [B·(1 + grid²), width]. Runs inside the caller's `tidy`. */
function tower(
  model: ClipModel,
  images: Tensor,
  { keep, layers }: { keep: Keep; layers: number },
): { x: Tensor; patches: Tensor | undefined; normPre: LayerNormSaved; blocks: BlockSaved[] } {
  const { ops, config, parameters } = model;
  const batch = images.shape[0];
  const { width } = config.vision_cfg;
  const shape = blockShape(config, batch);
  const { tokens } = shape;
  const patches = patchRows(ops, images, config);
  const { x: embedded, saved: normPre } = ops.tidy(() => {
    const rows = ops.matMul(patches, parameter(parameters, "visual.conv1.weight"));
    const zeros = ops.tensor(new Float32Array(batch * width), [batch, 1, width]);
    const first = ops.add(zeros, parameter(parameters, "visual.class_embedding"));
    const all = ops.concat([first, ops.reshape(rows, [batch, tokens - 1, width])], 1);
    const placed = ops.add(all, parameter(parameters, "visual.positional_embedding"));
    const { y, saved } = layerNorm(
      ops,
      parameters,
      "visual.ln_pre",
      ops.reshape(placed, [batch * tokens, width]),
    );
    return { x: y, saved };
  });
  const blocks: BlockSaved[] = [];
  let x = embedded;
  for (let layer = 0; layer < layers; layer++) {
    const { y, saved } = block(ops, parameters, blockName(layer), { x, shape, keep });
    if (saved) blocks.push(saved);
    x.dispose();
    x = y;
  }
  if (keep !== "all") patches.dispose();
  return { x, patches: keep === "all" ? patches : undefined, normPre, blocks };
}

const blockName = (layer: number): string => `visual.transformer.resblocks.${layer}`;

function blockShape(config: ClipConfig, batch: number): BlockShape {
  return {
    batch,
    tokens: 1 + gridSize(config.vision_cfg) ** 2,
    heads: visionHeads(config.vision_cfg),
    quickGelu: config.quick_gelu,
  };
}

/** [B, S, S, 3] -> [B·grid², p·p·3]: the patch convolution's input rows; trailing pixels are left out. */
function patchRows(ops: Ops, images: Tensor, { vision_cfg: v }: ClipConfig): Tensor {
  return ops.tidy(() => {
    const [batch = 0, size = 0] = images.shape;
    const grid = gridSize(v);
    const side = grid * v.patch_size;
    const used = side === size ? images : ops.slice(images, [0, 0, 0, 0], [batch, side, side, 3]);
    const bands = ops.reshape(used, [batch * grid, v.patch_size, grid, v.patch_size * 3]);
    return ops.reshape(ops.transpose(bands, [0, 2, 1, 3]), [
      batch * grid * grid,
      v.patch_size * v.patch_size * 3,
    ]);
  });
}

/** The transpose of `patchRows`: trailing pixels get zero. */
function unpatch(ops: Ops, rows: Tensor, { vision_cfg: v }: ClipConfig, batch: number): Tensor {
  const grid = gridSize(v);
  const side = grid * v.patch_size;
  const bands = ops.transpose(
    ops.reshape(rows, [batch * grid, grid, v.patch_size, v.patch_size * 3]),
    [0, 2, 1, 3],
  );
  const images = ops.reshape(bands, [batch, side, side, 3]);
  const rest = v.image_size - side;
  if (rest === 0) return images;
  return ops.pad(images, [
    [0, 0],
    [0, rest],
    [0, rest],
    [0, 0],
  ]);
}
