import { randomStream } from "../random.ts";
import type { Random } from "../random.ts";
import { elements } from "../safetensors.ts";
import { mlpWidth } from "./config.ts";
import type { VitClipConfig } from "./config.ts";
import { parameterShapes } from "./shapes.ts";
import type { ClipState, FloatTensor } from "./weights.ts";

/**
 * Random parameters, distributed as OpenCLIP initialises a ViT CLIP: the text tower by width- and depth-scaled
 * normals, the image tower's blocks by PyTorch's defaults. Each tensor has its own stream of (seed, name).
 */
export function initialise(config: VitClipConfig, seed: number): ClipState {
  const state = new Map<string, FloatTensor>();
  for (const [name, shape] of parameterShapes(config)) {
    const random = randomStream(seed, "clip-init", name);
    const data = new Float32Array(elements(shape));
    const draw = distribution(name, shape, config);
    for (let i = 0; i < data.length; i++) data[i] = draw(random);
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

function distribution(name: string, shape: readonly number[], config: VitClipConfig): Draw {
  const { vision_cfg: v, text_cfg: t } = config;
  if (name === "logit_scale") return constant(Math.log(1 / 0.07));
  if (/\.?ln_(1|2|pre|post|final)\.weight$/.test(name)) return constant(1);
  if (/\.?ln_(1|2|pre|post|final)\.bias$/.test(name)) return constant(0);
  if (/(in_proj_bias|out_proj\.bias)$/.test(name)) return constant(0);
  const isVision = name.startsWith("visual.");
  const tower = isVision ? v : t;
  const { width } = tower;
  if (name.endsWith("c_fc.bias")) return uniform(width ** -0.5);
  if (name.endsWith("c_proj.bias")) return uniform(mlpWidth(tower) ** -0.5);
  if (isVision) {
    if (name === "visual.conv1.weight") return uniform((3 * v.patch_size ** 2) ** -0.5);
    // Xavier over [3W, W], as torch's MultiheadAttention; Linear layers by their inputs.
    if (name.endsWith("in_proj_weight")) return uniform(Math.sqrt(6 / (4 * width)));
    if (/(out_proj|c_fc|c_proj)\.weight$/.test(name)) return uniform((shape[1] as number) ** -0.5);
    return normal(width ** -0.5); // class and positional embedding, projection
  }
  const projection = width ** -0.5 * (2 * t.layers) ** -0.5;
  if (name === "token_embedding.weight") return normal(0.02);
  if (name === "positional_embedding") return normal(0.01);
  if (name.endsWith("in_proj_weight")) return normal(width ** -0.5);
  if (name.endsWith("c_fc.weight")) return normal((2 * width) ** -0.5);
  if (/(out_proj|c_proj)\.weight$/.test(name)) return normal(projection);
  return normal(width ** -0.5); // text_projection
}
