import { NodeError } from "../../engine/sdk.ts";

/** The image tower of a ViT CLIP, as OpenCLIP's `vision_cfg`. */
export interface VisionConfig {
  /** Side of the square input, pixels. */
  readonly image_size: number;
  readonly layers: number;
  readonly width: number;
  /** Width of one attention head. */
  readonly head_width: number;
  readonly patch_size: number;
}

/** The text tower, as OpenCLIP's `text_cfg`. */
export interface TextConfig {
  readonly context_length: number;
  readonly vocab_size: number;
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
}

/** The shape of a ViT CLIP model, as OpenCLIP's `model_cfg`. */
export interface ClipConfig {
  readonly embed_dim: number;
  readonly vision_cfg: VisionConfig;
  readonly text_cfg: TextConfig;
  /** x·sigmoid(1.702x) in place of the exact GELU. */
  readonly quick_gelu: boolean;
}

function vit(
  embed: number,
  [imageSize, patch, visionLayers, visionWidth, headWidth]: readonly [number, number, number, number, number],
  [vocab, textLayers, textWidth, heads]: readonly [number, number, number, number],
): ClipConfig {
  return {
    embed_dim: embed,
    vision_cfg: {
      image_size: imageSize,
      layers: visionLayers,
      width: visionWidth,
      head_width: headWidth,
      patch_size: patch,
    },
    text_cfg: { context_length: 77, vocab_size: vocab, width: textWidth, heads, layers: textLayers },
    quick_gelu: false,
  };
}

/** Architectures by name: small ones of our own, and those of OpenCLIP's `model_configs`. */
export const clipPresets = {
  "vit-nano": vit(48, [32, 8, 2, 64, 16], [1024, 2, 64, 4]),
  "vit-micro": vit(64, [64, 8, 3, 96, 24], [1024, 2, 96, 4]),
  "vit-tiny": vit(128, [96, 12, 4, 192, 32], [2048, 3, 128, 4]),
  "vit-small": vit(256, [112, 16, 6, 384, 64], [8192, 6, 256, 4]),
  "ViT-B-32": vit(512, [224, 32, 12, 768, 64], [49408, 12, 512, 8]),
  "ViT-B-16": vit(512, [224, 16, 12, 768, 64], [49408, 12, 512, 8]),
  "ViT-L-14": vit(768, [224, 14, 24, 1024, 64], [49408, 12, 768, 12]),
} as const satisfies Record<string, ClipConfig>;

export type ClipPreset = keyof typeof clipPresets;

/** Heads of the image tower's attention. */
export function visionHeads(vision: VisionConfig): number {
  return vision.width / vision.head_width;
}

/** Patches along one side; trailing pixels that fill no patch are not read. */
export function gridSize(vision: VisionConfig): number {
  return Math.floor(vision.image_size / vision.patch_size);
}

/** What is wrong with a configuration, or undefined. */
export function configProblem({ embed_dim, vision_cfg: v, text_cfg: t }: ClipConfig): string | undefined {
  const positive = { embed_dim, ...v, ...t };
  for (const [name, value] of Object.entries(positive)) {
    if (!Number.isInteger(value) || value < 1) return `${name} must be a whole number above 0, not ${value}`;
  }
  if (v.width % v.head_width !== 0)
    return `vision width ${v.width} is no multiple of head_width ${v.head_width}`;
  if (t.width % t.heads !== 0) return `text width ${t.width} is no multiple of its ${t.heads} heads`;
  if (v.image_size < v.patch_size)
    return `image_size ${v.image_size} is smaller than patch_size ${v.patch_size}`;
  return undefined;
}

/**
 * Reads OpenCLIP's `open_clip_config.json` (or a bare `model_cfg`).
 *
 * @param source file name for messages
 * @throws NodeError where it describes no plain ViT CLIP, or a field is missing or wrong
 */
export function parseClipConfig(value: unknown, source: string): ClipConfig {
  const outer = asObject(value, source, "the file");
  const model = asObject(outer["model_cfg"] ?? outer, source, "model_cfg");
  const vision = asObject(model["vision_cfg"], source, "vision_cfg");
  const text = asObject(model["text_cfg"], source, "text_cfg");
  if (Array.isArray(vision["layers"]) || vision["timm_model_name"] || text["hf_model_name"]) {
    throw new NodeError(`${source}: only plain ViT image towers and CLIP text towers can be loaded`, {
      hint: "ResNet, timm and Hugging Face towers are not supported yet.",
    });
  }
  const number = (part: Record<string, unknown>, name: string, fallback?: number): number => {
    const found = part[name] ?? fallback;
    if (typeof found !== "number") throw new NodeError(`${source}: ${name} is missing or not a number`);
    return found;
  };
  const config: ClipConfig = {
    embed_dim: number(model, "embed_dim"),
    vision_cfg: {
      image_size: number(vision, "image_size", 224),
      layers: number(vision, "layers", 12),
      width: number(vision, "width", 768),
      head_width: number(vision, "head_width", 64),
      patch_size: number(vision, "patch_size", 16),
    },
    text_cfg: {
      context_length: number(text, "context_length", 77),
      vocab_size: number(text, "vocab_size", 49408),
      width: number(text, "width", 512),
      heads: number(text, "heads", 8),
      layers: number(text, "layers", 12),
    },
    quick_gelu: model["quick_gelu"] === true,
  };
  const problem = configProblem(config);
  if (problem) throw new NodeError(`${source}: ${problem}`);
  return config;
}

/**
 * Works a configuration out from the shapes of a state dict (OpenCLIP or OpenAI keys). Heads follow OpenAI's rule,
 * width / 64, which no shape can confirm.
 *
 * @param quickGelu the activation, which no shape shows: true for OpenAI's own weights
 * @throws NodeError where the tensors are not those of a ViT CLIP
 */
export function inferClipConfig(
  shapes: ReadonlyMap<string, readonly number[]>,
  source: string,
  quickGelu: boolean,
): ClipConfig {
  const at = (name: string, axis: number): number => {
    const size = shapes.get(name)?.[axis];
    if (size === undefined) {
      throw new NodeError(`${source} is no ViT CLIP checkpoint: it has no tensor "${name}"`, {
        hint: "Give an OpenCLIP checkpoint of a ViT model, with its open_clip_config.json beside it.",
      });
    }
    return size;
  };
  const layers = (prefix: string): number => {
    let count = 0;
    while (shapes.has(`${prefix}.${count}.ln_1.weight`)) count++;
    return count;
  };
  const width = at("visual.conv1.weight", 0);
  const patch = at("visual.conv1.weight", 2);
  const grid = Math.sqrt(at("visual.positional_embedding", 0) - 1);
  const textWidth = at("ln_final.weight", 0);
  const config: ClipConfig = {
    embed_dim: at("text_projection", 1),
    vision_cfg: {
      image_size: grid * patch,
      layers: layers("visual.transformer.resblocks"),
      width,
      head_width: Math.min(64, width),
      patch_size: patch,
    },
    text_cfg: {
      context_length: at("positional_embedding", 0),
      vocab_size: at("token_embedding.weight", 0),
      width: textWidth,
      heads: Math.max(1, Math.floor(textWidth / 64)),
      layers: layers("transformer.resblocks"),
    },
    quick_gelu: quickGelu,
  };
  const problem = configProblem(config);
  if (problem) throw new NodeError(`${source}: its tensors describe no ViT CLIP: ${problem}`);
  return config;
}

function asObject(value: unknown, source: string, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new NodeError(`${source}: ${what} is missing or not an object`, {
      hint: "Expected OpenCLIP's open_clip_config.json: { model_cfg: { embed_dim, vision_cfg, text_cfg } }.",
    });
  }
  return value as Record<string, unknown>;
}
