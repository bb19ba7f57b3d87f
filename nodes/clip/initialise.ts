import { randomStream } from "../random.ts";
import type { Random } from "../random.ts";
import { elements } from "../safetensors.ts";
import { mlpWidth, resNetChannels } from "./config.ts";
import type { ClipConfig, ClipTextConfig, ResNetConfig, VitConfig } from "./config.ts";
import { stateShapes, tokenTable } from "./shapes.ts";
import type { ClipState, FloatTensor } from "./weights.ts";

/**
 * Random parameters, distributed as OpenCLIP initialises its towers, timm its ViT and Hugging Face its BERT; batch
 * norms begin with mean 0 and variance 1. Each tensor has its own stream of (seed, name).
 */
export function initialise(config: ClipConfig, seed: number): ClipState {
  const { text_cfg: text } = config;
  const state = new Map<string, FloatTensor>();
  for (const [name, shape] of stateShapes(config)) {
    const random = randomStream(seed, "clip-init", name);
    const data = new Float32Array(elements(shape));
    const draw = distribution(name, shape, config);
    for (let i = 0; i < data.length; i++) data[i] = draw(random);
    // Hugging Face's embedding of padding is zero.
    if (text.tower === "bert" && name === tokenTable(text))
      data.fill(0, text.pad_id * text.width, (text.pad_id + 1) * text.width);
    state.set(name, { shape, data });
  }
  return state;
}

type Draw = (random: Random) => number;

const constant =
  (value: number): Draw =>
  () =>
    value;
const normal =
  (deviation: number): Draw =>
  (random) =>
    deviation * random.normal();
const uniform =
  (bound: number): Draw =>
  (random) =>
    bound * (2 * random.next() - 1);

/** PyTorch's own start of a linear layer or convolution, weight [out, in, ...] and bias alike. */
const byInputs = (inputs: number): Draw => uniform(inputs ** -0.5);

function distribution(name: string, shape: readonly number[], config: ClipConfig): Draw {
  const { vision_cfg: vision, text_cfg: text } = config;
  if (name === "logit_scale") return constant(Math.log(1 / 0.07));
  if (!name.startsWith("visual.")) return text.tower === "bert" ? bert(name, shape) : clipText(name, text);
  switch (vision.tower) {
    case "vit":
      return vit(name, shape, vision);
    case "timm-vit":
      return timmVit(name, shape, 3 * vision.patch_size ** 2);
    case "resnet":
      return resNet(name, shape, vision);
  }
}

/** What both of OpenCLIP's own transformers begin with. */
function ownBlocks(name: string, tower: VitConfig | ClipTextConfig): Draw | undefined {
  if (/\.?ln_(1|2|pre|post|final)\.weight$/.test(name)) return constant(1);
  if (/\.?ln_(1|2|pre|post|final)\.bias$/.test(name)) return constant(0);
  if (/(in_proj_bias|out_proj\.bias)$/.test(name)) return constant(0);
  if (name.endsWith("c_fc.bias")) return byInputs(tower.width);
  if (name.endsWith("c_proj.bias")) return byInputs(mlpWidth(tower));
  return undefined;
}

/** OpenCLIP's ViT: its blocks by PyTorch's defaults. */
function vit(name: string, shape: readonly number[], tower: VitConfig): Draw {
  const { patch_size: patch, width } = tower;
  const own = ownBlocks(name, tower);
  if (own) return own;
  if (name === "visual.conv1.weight") return byInputs(3 * patch ** 2);
  // Xavier over [3W, W], as torch's MultiheadAttention; Linear layers by their inputs.
  if (name.endsWith("in_proj_weight")) return uniform(Math.sqrt(6 / (4 * width)));
  if (/(out_proj|c_fc|c_proj)\.weight$/.test(name)) return byInputs(shape[1] as number);
  return normal(width ** -0.5); // class and positional embedding, projection
}

/** OpenCLIP's text transformer: normals scaled by width and depth. */
function clipText(name: string, tower: ClipTextConfig): Draw {
  const { layers, width } = tower;
  const own = ownBlocks(name, tower);
  if (own) return own;
  if (name === "token_embedding.weight") return normal(0.02);
  if (name === "positional_embedding") return normal(0.01);
  if (name.endsWith("in_proj_weight")) return normal(width ** -0.5);
  if (name.endsWith("c_fc.weight")) return normal((2 * width) ** -0.5);
  if (/(out_proj|c_proj)\.weight$/.test(name)) return normal(width ** -0.5 * (2 * layers) ** -0.5);
  return normal(width ** -0.5); // text_projection
}

/** OpenCLIP's ResNet: a bottleneck begins as its shortcut, for the scale of its last norm is 0. */
function resNet(name: string, shape: readonly number[], tower: ResNetConfig): Draw {
  if (name.endsWith("running_mean")) return constant(0);
  if (name.endsWith("running_var")) return constant(1);
  if (name.startsWith("visual.attnpool.")) {
    const channels = resNetChannels(tower);
    return name.endsWith("bias") ? byInputs(channels) : normal(channels ** -0.5);
  }
  if (shape.length === 4) return byInputs(inputsOf(shape));
  if (name.endsWith("bias") || /layer\d\.\d+\.bn3\.weight$/.test(name)) return constant(0);
  return constant(1);
}

/** timm's ViT; its head is OpenCLIP's. */
function timmVit(name: string, shape: readonly number[], patchInputs: number): Draw {
  if (name.includes("patch_embed.proj")) return byInputs(patchInputs);
  if (name === "visual.head.proj.weight") return byInputs(inputsOf(shape));
  if (name.endsWith("cls_token")) return normal(1e-6);
  if (/norm\d?\.weight$/.test(name)) return constant(1);
  return name.endsWith("bias") ? constant(0) : normal(0.02);
}

/** Hugging Face's BERT; its projection is OpenCLIP's. */
function bert(name: string, shape: readonly number[]): Draw {
  if (name.startsWith("text.proj.")) return byInputs(inputsOf(shape));
  if (name.endsWith("LayerNorm.weight")) return constant(1);
  return name.endsWith("bias") ? constant(0) : normal(0.02);
}

/** Inputs of each output of a weight [out, in, ...]. */
function inputsOf(shape: readonly number[]): number {
  return elements(shape.slice(1));
}
