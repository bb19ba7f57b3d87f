import { attentionPool, attentionPoolBackward } from "../nn/attention-pool.ts";
import type { AttentionPoolSaved } from "../nn/attention-pool.ts";
import { bottleneck, bottleneckBackward } from "../nn/bottleneck.ts";
import type { BottleneckSaved, BottleneckShape } from "../nn/bottleneck.ts";
import { convNorm, convNormBackward } from "../nn/conv-norm.ts";
import type { ConvNormSaved, ConvNormShape, RunningUpdates } from "../nn/conv-norm.ts";
import type { Tensor } from "../nn/ops.ts";
import type { Keep } from "../nn/parameters.ts";
import { visionHeads } from "./config.ts";
import type { ResNetConfig } from "./config.ts";
import type { ClipModel } from "./model.ts";
import type { EncodedImages, ImageGradientOptions } from "./vision.ts";

/** Activations for the backward pass of a ResNet. */
export interface ResNetSaved {
  readonly tower: "resnet";
  readonly stem: readonly ConvNormSaved[];
  /** Of each block, in order. */
  readonly blocks: readonly BottleneckSaved[];
  readonly pool: AttentionPoolSaved;
}

/** The stem's three convolutions; the average pooling behind them is apart. */
const stem = [1, 2, 3].map((index) => ({
  names: { conv: `visual.conv${index}`, norm: `visual.bn${index}` },
  shape: { size: 3, stride: index === 1 ? 2 : 1, relu: true } satisfies ConvNormShape,
}));

/** `encodeImages` for CLIP's ResNet (METHOD 3.2). */
export function encodeResNet(
  model: ClipModel,
  config: ResNetConfig,
  images: Tensor,
  keep: Keep,
  updates: RunningUpdates | undefined,
): EncodedImages {
  const { ops, parameters } = model;
  return ops.tidy(() => {
    const { map, stemSaved, blocks } = lastMap(model, config, images, { keep, updates });
    const { y, pooled, saved } = attentionPool(ops, parameters, "visual.attnpool", {
      map,
      heads: visionHeads(config),
      keep,
    });
    return {
      features: y,
      preProjection: pooled,
      saved: saved && ({ tower: "resnet", stem: stemSaved, blocks, pool: saved } as const),
      kept: [...(updates?.values() ?? [])],
    };
  });
}

/** The last map as a sequence of places: [B, h·w, 32 · width]. */
export function encodeResNetTokens(model: ClipModel, config: ResNetConfig, images: Tensor): Tensor {
  const { ops } = model;
  return ops.tidy(() => {
    const { map } = lastMap(model, config, images, { keep: "nothing", updates: undefined });
    const [batch = 0, height = 0, width = 0, channels = 0] = map.shape;
    return ops.reshape(map, [batch, height * width, channels]);
  });
}

/** `encodeImagesBackward` for a ResNet. */
export function encodeResNetBackward(
  model: ClipModel,
  config: ResNetConfig,
  saved: ResNetSaved,
  dfeatures: Tensor,
  options: ImageGradientOptions,
): Tensor | undefined {
  const { ops, parameters } = model;
  const { gradients } = options;
  // Gradients leave the scope as part of its result.
  return ops.tidy(() => {
    let dx = attentionPoolBackward(ops, parameters, "visual.attnpool", {
      dy: dfeatures,
      saved: saved.pool,
      gradients,
    });
    const replace = (next: Tensor): void => {
      dx.dispose();
      dx = next;
    };
    // What a block took is what the one before gave, and is freed with that.
    const blocks = blockList(config);
    for (let index = blocks.length - 1; index >= 0; index--) {
      const block = saved.blocks[index] as BottleneckSaved;
      const { name } = blocks[index]!;
      replace(bottleneckBackward(ops, parameters, name, { dy: dx, saved: block, gradients }));
      ops.free(block, saved.blocks[index - 1]?.y);
    }
    replace(ops.halveInput(dx, saved.stem.at(-1)?.y as Tensor));
    for (let index = stem.length - 1; index >= 0; index--) {
      const layer = saved.stem[index] as ConvNormSaved;
      const { names, shape } = stem[index]!;
      replace(convNormBackward(ops, parameters, names, { dy: dx, saved: layer, shape, gradients }));
      // The first layer took the images, which are the caller's.
      ops.free(layer, index === 0 ? layer.x : saved.stem[index - 1]?.y);
    }
    return { dimages: options.input ? dx : undefined, kept: gradients ? [...gradients.values()] : [] };
  }).dimages;
}

/** Stem and stages: the map that is pooled, [B, h, w, 32 · width]. Runs inside the caller's `tidy`. */
function lastMap(
  model: ClipModel,
  config: ResNetConfig,
  images: Tensor,
  { keep, updates }: { keep: Keep; updates: RunningUpdates | undefined },
): { map: Tensor; stemSaved: ConvNormSaved[]; blocks: BottleneckSaved[] } {
  const { ops, parameters } = model;
  const stemSaved: ConvNormSaved[] = [];
  const blocks: BottleneckSaved[] = [];
  let x = images;
  const replace = (next: Tensor): void => {
    if (keep === "nothing" && x !== images) x.dispose();
    x = next;
  };
  for (const { names, shape } of stem) {
    const { y, saved } = convNorm(ops, parameters, names, { x, shape, keep, updates });
    if (saved) stemSaved.push(saved);
    replace(y);
  }
  replace(ops.halve(x));
  for (const { name, shape } of blockList(config)) {
    const { y, saved } = bottleneck(ops, parameters, name, { x, shape, keep, updates });
    if (saved) blocks.push(saved);
    replace(y);
  }
  return { map: x, stemSaved, blocks };
}

function blockList({ layers }: ResNetConfig): { name: string; shape: BottleneckShape }[] {
  return layers.flatMap((count, stage) =>
    Array.from({ length: count }, (_, block) => ({
      name: `visual.layer${stage + 1}.${block}`,
      shape: { halves: block === 0 && stage > 0, convolvesShortcut: block === 0 },
    })),
  );
}
