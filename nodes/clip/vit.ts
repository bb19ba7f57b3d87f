import { block, blockBackward } from "../nn/block.ts";
import type { BlockSaved, BlockShape } from "../nn/block.ts";
import { layerNorm, layerNormBackward } from "../nn/layer-norm.ts";
import type { LayerNormSaved } from "../nn/layer-norm.ts";
import type { Ops, Tensor } from "../nn/ops.ts";
import { parameter } from "../nn/parameters.ts";
import { createPooling, freePooling, pooledBlock, pooledBlockBackward } from "../nn/pooled-block.ts";
import type { Pooling, PooledBlockSaved } from "../nn/pooled-block.ts";
import type { Keep } from "../nn/parameters.ts";
import { openClipBlock, timmBlock } from "../nn/block-names.ts";
import type { BlockNames } from "../nn/block-names.ts";
import { gridSize, visionHeads } from "./config.ts";
import type { TimmVitConfig, VitConfig } from "./config.ts";
import type { ClipModel } from "./model.ts";
import type { EncodedImages, ImageGradientOptions } from "./vision.ts";

type AnyVit = VitConfig | TimmVitConfig;

/** Activations for the backward pass of a ViT. */
export interface VitSaved {
  readonly tower: "vit";
  readonly pooling: Pooling;
  readonly patches: Tensor | undefined;
  readonly normPre: LayerNormSaved | undefined;
  readonly blocks: BlockSaved[];
  readonly lastBlock: PooledBlockSaved;
  readonly normPost: LayerNormSaved;
  readonly pooled: Tensor;
}

/** Names of the parameters, and what else differs between OpenCLIP's ViTs and timm's. */
interface Dialect {
  readonly classToken: string;
  readonly positions: string;
  readonly patch: { readonly weight: string; readonly bias?: string };
  readonly normPre?: string;
  readonly block: (layer: number) => BlockNames;
  readonly normPost: string;
  readonly projection: string;
  /** Of the layer norms. */
  readonly epsilon: number;
}

function dialectOf(config: AnyVit): Dialect {
  if (config.tower === "timm-vit") {
    return {
      classToken: "visual.trunk.cls_token",
      positions: "visual.trunk.pos_embed",
      patch: { weight: "visual.trunk.patch_embed.proj.weight", bias: "visual.trunk.patch_embed.proj.bias" },
      block: (layer) => timmBlock(`visual.trunk.blocks.${layer}`),
      normPost: "visual.trunk.norm",
      projection: "visual.head.proj.weight",
      epsilon: 1e-6,
    };
  }
  return {
    classToken: "visual.class_embedding",
    positions: "visual.positional_embedding",
    patch: { weight: "visual.conv1.weight" },
    ...(config.no_ln_pre ? {} : { normPre: "visual.ln_pre" }),
    block: (layer) => openClipBlock(`visual.transformer.resblocks.${layer}`),
    normPost: "visual.ln_post",
    projection: "visual.proj",
    epsilon: 1e-5,
  };
}

/** `encodeImages` for a ViT. */
export function encodeVit(model: ClipModel, config: AnyVit, images: Tensor, keep: Keep): EncodedImages {
  const { ops, parameters } = model;
  const batch = images.shape[0];
  const { width, layers } = config;
  const names = dialectOf(config);
  return ops.tidy(() => {
    const { x, patches, normPre, blocks } = tower(model, config, images, { keep, layers: layers - 1 });
    const shape = blockShape(model, config, batch);
    const pooling = createPooling(ops, {
      ...shape,
      positions: Array.from({ length: batch }, () => 0),
      causal: false,
    });
    const last = pooledBlock(ops, parameters, names.block(layers - 1), { x, pooling, keep });
    const { y: pooled, saved: normPost } = layerNorm(ops, parameters, names.normPost, last.y, names.epsilon);
    const features = ops.matMul(pooled, parameter(parameters, names.projection));
    if (!last.saved) return { features, preProjection: pooled, saved: undefined };
    const preProjection = ops.reshape(pooled, [batch, width]);
    const lastBlock = last.saved;
    return {
      features,
      preProjection,
      saved: { tower: "vit", pooling, patches, normPre, blocks, lastBlock, normPost, pooled },
    };
  });
}

/** All tokens after the final norm, before the projection: [B, 1 + grid², width], class token first. */
export function encodeVitTokens(model: ClipModel, config: AnyVit, images: Tensor): Tensor {
  const { ops, parameters } = model;
  const batch = images.shape[0];
  const names = dialectOf(config);
  return ops.tidy(() => {
    const { x } = tower(model, config, images, { keep: "nothing", layers: config.layers });
    const { y } = layerNorm(ops, parameters, names.normPost, x, names.epsilon);
    return ops.reshape(y, [batch, x.shape[0] / batch, config.width]);
  });
}

/** `encodeImagesBackward` for a ViT. */
export function encodeVitBackward(
  model: ClipModel,
  config: AnyVit,
  saved: VitSaved,
  dfeatures: Tensor,
  options: ImageGradientOptions,
): Tensor | undefined {
  const { ops, parameters } = model;
  const names = dialectOf(config);
  const { gradients } = options;
  const { patches, pooling } = saved;
  const { batch } = pooling;
  const { width } = config;
  const shape = blockShape(model, config, batch);
  const { tokens } = shape;
  // Gradients leave the scope as part of its result.
  return ops.tidy(() => {
    if (gradients) gradients.set(names.projection, ops.matMul(saved.pooled, dfeatures, true, false));
    const dpooled = ops.matMul(dfeatures, parameter(parameters, names.projection), false, true);
    const dlast = layerNormBackward(ops, parameters, names.normPost, {
      dy: dpooled,
      saved: saved.normPost,
      gradients,
    });
    let dx = pooledBlockBackward(ops, parameters, names.block(saved.blocks.length), {
      dy: dlast,
      saved: saved.lastBlock,
      pooling,
      gradients,
    });
    for (let layer = saved.blocks.length - 1; layer >= 0; layer--) {
      const next = blockBackward(ops, parameters, names.block(layer), {
        dy: dx,
        saved: saved.blocks[layer] as BlockSaved,
        shape,
        gradients,
      });
      dx.dispose();
      dx = next;
    }

    const dembedded =
      names.normPre && saved.normPre
        ? layerNormBackward(ops, parameters, names.normPre, { dy: dx, saved: saved.normPre, gradients })
        : dx;
    const grouped = ops.reshape(dembedded, [batch, tokens, width]);
    const dpatches = ops.reshape(ops.slice(grouped, [0, 1, 0], [batch, tokens - 1, width]), [
      batch * (tokens - 1),
      width,
    ]);
    if (gradients) {
      if (!patches) throw new Error("internal error: the forward pass kept no patches");
      const summed = ops.sumRows(ops.reshape(dembedded, [batch, tokens * width]));
      /** A gradient in the shape of its parameter, which has leading ones in some formats. */
      const note = (name: string, values: Tensor): void =>
        void gradients.set(name, ops.reshape(values, parameter(parameters, name).shape));
      const positions = ops.reshape(summed, [tokens, width]);
      note(names.positions, positions);
      // The class token is added to the first position, so both have one gradient.
      note(names.classToken, ops.slice(positions, [0, 0], [1, width]));
      note(names.patch.weight, ops.matMul(patches, dpatches, true, false));
      if (names.patch.bias) note(names.patch.bias, ops.sumRows(dpatches));
    }
    const dimages = options.input
      ? unpatch(
          ops,
          ops.matMul(dpatches, parameter(parameters, names.patch.weight), false, true),
          config,
          batch,
        )
      : undefined;
    const { normPost, normPre, pooled } = saved;
    ops.dispose(normPost.normalised, normPost.rstd, pooled, normPre?.normalised, normPre?.rstd, patches);
    freePooling(ops, pooling);
    return { dimages, made: gradients ? [...gradients.values()] : [] };
  }).dimages;
}

/** Patch embedding, positions, the norm before and the first `layers` blocks: [B·(1 + grid²), width]. Runs inside the caller's `tidy`. */
function tower(
  model: ClipModel,
  config: AnyVit,
  images: Tensor,
  { keep, layers }: { keep: Keep; layers: number },
): { x: Tensor; patches: Tensor | undefined; normPre: LayerNormSaved | undefined; blocks: BlockSaved[] } {
  const { ops, parameters } = model;
  const batch = images.shape[0];
  const { width } = config;
  const names = dialectOf(config);
  const shape = blockShape(model, config, batch);
  const { tokens } = shape;
  const patches = patchRows(ops, images, config);
  const { x: embedded, saved: normPre } = ops.tidy(() => {
    const product = ops.matMul(patches, parameter(parameters, names.patch.weight));
    const rows = names.patch.bias ? ops.add(product, parameter(parameters, names.patch.bias)) : product;
    const zeros = ops.tensor(new Float32Array(batch * width), [batch, 1, width]);
    const first = ops.add(zeros, parameter(parameters, names.classToken));
    const all = ops.concat([first, ops.reshape(rows, [batch, tokens - 1, width])], 1);
    const placed = ops.add(all, parameter(parameters, names.positions));
    const tokenRows = ops.reshape(placed, [batch * tokens, width]);
    if (!names.normPre) return { x: tokenRows, saved: undefined };
    const { y, saved } = layerNorm(ops, parameters, names.normPre, tokenRows, names.epsilon);
    return { x: y, saved };
  });
  const blocks: BlockSaved[] = [];
  let x = embedded;
  for (let layer = 0; layer < layers; layer++) {
    const { y, saved } = block(ops, parameters, names.block(layer), { x, shape, keep });
    if (saved) blocks.push(saved);
    x.dispose();
    x = y;
  }
  if (keep !== "all") patches.dispose();
  return { x, patches: keep === "all" ? patches : undefined, normPre, blocks };
}

function blockShape(model: ClipModel, config: AnyVit, batch: number): BlockShape {
  return {
    batch,
    tokens: 1 + gridSize(config) ** 2,
    heads: visionHeads(config),
    quickGelu: config.tower === "vit" && model.config.quick_gelu,
    epsilon: dialectOf(config).epsilon,
    recompute: model.recompute,
  };
}

/** [B, S, S, 3] -> [B·grid², p·p·3]: the patch convolution's input rows; trailing pixels are left out. */
function patchRows(ops: Ops, images: Tensor, v: AnyVit): Tensor {
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
function unpatch(ops: Ops, rows: Tensor, v: AnyVit, batch: number): Tensor {
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
