import { clipMean, clipStd } from "../data/normalise.ts";

/** OpenCLIP's own ViT, as its `vision_cfg`. */
export interface VitConfig {
  readonly tower: "vit";
  /** Side of the square input, pixels. */
  readonly image_size: number;
  readonly layers: number;
  readonly width: number;
  /** Width of one attention head. */
  readonly head_width: number;
  readonly patch_size: number;
  /** Width of the MLPs by the tower's; 4 where absent. */
  readonly mlp_ratio?: number;
  /** No norm in front of the blocks. */
  readonly no_ln_pre?: boolean;
}

/** A ViT of the library timm, as in BiomedCLIP: bias in the patch embedding, no norm before the blocks, LN eps 1e-6. */
export interface TimmVitConfig extends Omit<VitConfig, "tower" | "no_ln_pre"> {
  readonly tower: "timm-vit";
  readonly timm_model_name: string;
}

/** CLIP's ResNet: three stem convolutions, bottlenecks, attention pooling over `32 · width` channels. */
export interface ResNetConfig {
  readonly tower: "resnet";
  readonly image_size: number;
  /** Bottlenecks of each of the four stages. */
  readonly layers: readonly [number, number, number, number];
  readonly width: number;
  /** The attention pool has `32 · width / head_width` heads, as OpenCLIP counts them. */
  readonly head_width: number;
}

/** CLIP's causal text transformer, as OpenCLIP's `text_cfg`. */
export interface ClipTextConfig {
  readonly tower: "clip";
  readonly context_length: number;
  readonly vocab_size: number;
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  readonly mlp_ratio?: number;
  /** Pooled at the first token of this id; where absent at the first largest id of the row. */
  readonly eos_id?: number;
}

/** A BERT with a projection, as OpenCLIP's HFTextEncoder holds one. */
export interface BertConfig {
  readonly tower: "bert";
  readonly hf_model_name: string;
  /** `linear`: one matrix; `mlp`: two with a GELU between them. Neither has biases. */
  readonly hf_proj_type: "linear" | "mlp";
  /** What is projected: BERT's pooler (a layer with tanh over [CLS]), or the last hidden state of [CLS]. */
  readonly hf_pooler_type: "cls_pooler" | "cls_last_hidden_state_pooler";
  readonly context_length: number;
  readonly vocab_size: number;
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  /** Width of the layers' hidden part. */
  readonly intermediate_size: number;
  readonly max_position_embeddings: number;
  readonly type_vocab_size: number;
  readonly pad_id: number;
  /** Padding is attended to, as in PMC-CLIP's own training. */
  readonly attend_padding?: boolean;
  /** Captions are tokenised as they are, as PMC-CLIP does, and not cleaned first, as OpenCLIP does. */
  readonly raw_text?: boolean;
}

export type VisionConfig = VitConfig | TimmVitConfig | ResNetConfig;
export type TextConfig = ClipTextConfig | BertConfig;

/** How pixels in [0, 1] are normalised, per channel. */
export interface PreprocessConfig {
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** The shape of a CLIP model: an image tower and a text tower that meet in one space. Fields are OpenCLIP's. */
export interface ClipConfig<
  Vision extends VisionConfig = VisionConfig,
  Text extends TextConfig = TextConfig,
> {
  readonly embed_dim: number;
  readonly vision_cfg: Vision;
  readonly text_cfg: Text;
  /** x·sigmoid(1.702x) in place of the exact GELU; in OpenCLIP's own towers only. */
  readonly quick_gelu: boolean;
  readonly preprocess_cfg: PreprocessConfig;
}

/** A ViT with CLIP's text transformer. */
export type VitClipConfig = ClipConfig<VitConfig, ClipTextConfig>;

export const clipPreprocess: PreprocessConfig = { mean: clipMean, std: clipStd };

function vit(
  embed: number,
  [imageSize, patch, layers, width, headWidth]: readonly [number, number, number, number, number],
  text: readonly [number, number, number, number],
): VitClipConfig {
  return {
    embed_dim: embed,
    vision_cfg: {
      tower: "vit",
      image_size: imageSize,
      layers,
      width,
      head_width: headWidth,
      patch_size: patch,
    },
    text_cfg: clipText(text),
    quick_gelu: false,
    preprocess_cfg: clipPreprocess,
  };
}

function clipText([vocab, layers, width, heads]: readonly [number, number, number, number]): ClipTextConfig {
  return { tower: "clip", context_length: 77, vocab_size: vocab, width, heads, layers };
}

function resNet(imageSize: number, layers: ResNetConfig["layers"], width: number): ResNetConfig {
  return { tower: "resnet", image_size: imageSize, layers, width, head_width: 64 };
}

/** What OpenCLIP takes from Hugging Face's configuration of a BERT, unless told. */
export function bertDefaults(
  width: number,
): Pick<BertConfig, "intermediate_size" | "max_position_embeddings" | "type_vocab_size" | "pad_id"> {
  return { intermediate_size: 4 * width, max_position_embeddings: 512, type_vocab_size: 2, pad_id: 0 };
}

function smallBert(
  contextLength: number,
  projection: Pick<BertConfig, "hf_proj_type" | "hf_pooler_type">,
): BertConfig {
  const width = 64;
  return {
    tower: "bert",
    hf_model_name: "bert-nano",
    ...projection,
    context_length: contextLength,
    vocab_size: 1024,
    width,
    heads: 4,
    layers: 2,
    ...bertDefaults(width),
  };
}

const noQuickGelu = { quick_gelu: false, preprocess_cfg: clipPreprocess } as const;

/** Architectures by name: small ones of our own, and those of OpenCLIP's `model_configs`. */
export const clipPresets = {
  "vit-nano": vit(48, [32, 8, 2, 64, 16], [1024, 2, 64, 4]),
  "vit-micro": vit(64, [64, 8, 3, 96, 24], [1024, 2, 96, 4]),
  "vit-tiny": vit(128, [96, 12, 4, 192, 32], [2048, 3, 128, 4]),
  "vit-small": vit(256, [112, 16, 6, 384, 64], [8192, 6, 256, 4]),
  "resnet-nano": {
    embed_dim: 48,
    vision_cfg: resNet(64, [1, 1, 1, 1], 8),
    text_cfg: clipText([1024, 2, 64, 4]),
    ...noQuickGelu,
  },
  "biomedclip-nano": {
    embed_dim: 48,
    vision_cfg: {
      tower: "timm-vit",
      timm_model_name: "vit-nano",
      image_size: 32,
      layers: 2,
      width: 64,
      head_width: 16,
      patch_size: 8,
    },
    text_cfg: smallBert(256, { hf_proj_type: "mlp", hf_pooler_type: "cls_last_hidden_state_pooler" }),
    ...noQuickGelu,
  },
  "pmc-clip-nano": {
    embed_dim: 48,
    vision_cfg: resNet(64, [1, 1, 1, 1], 8),
    text_cfg: smallBert(77, { hf_proj_type: "linear", hf_pooler_type: "cls_pooler" }),
    ...noQuickGelu,
  },
  RN50: {
    embed_dim: 1024,
    vision_cfg: resNet(224, [3, 4, 6, 3], 64),
    text_cfg: clipText([49408, 12, 512, 8]),
    ...noQuickGelu,
  },
  "ViT-B-32": vit(512, [224, 32, 12, 768, 64], [49408, 12, 512, 8]),
  "ViT-B-16": vit(512, [224, 16, 12, 768, 64], [49408, 12, 512, 8]),
  "ViT-L-14": vit(768, [224, 14, 24, 1024, 64], [49408, 12, 768, 12]),
} as const satisfies Record<string, ClipConfig>;

export type ClipPreset = keyof typeof clipPresets;

/** Channels of a ResNet's last stage: what its attention pool takes. */
export function resNetChannels({ width }: ResNetConfig): number {
  return 32 * width;
}

/** Heads of the image tower's attention. */
export function visionHeads(vision: VisionConfig): number {
  return (vision.tower === "resnet" ? resNetChannels(vision) : vision.width) / vision.head_width;
}

/** Places along one side of the image tower's last grid; trailing pixels that fill no place are not read. */
export function gridSize(vision: VisionConfig): number {
  if (vision.tower !== "resnet") return Math.floor(vision.image_size / vision.patch_size);
  // The stem's stride is rounded up, each pooling afterwards down.
  let side = Math.floor((vision.image_size - 1) / 2) + 1;
  for (let halving = 0; halving < 4; halving++) side = Math.floor(side / 2);
  return side;
}

/** Width of an image's features before the projection into the joint space. */
export function preProjectionWidth(vision: VisionConfig): number {
  return vision.tower === "resnet" ? resNetChannels(vision) : vision.width;
}

/** Hidden width of a tower's MLPs. */
export function mlpWidth({ width, mlp_ratio = 4 }: { width: number; mlp_ratio?: number }): number {
  return Math.trunc(width * mlp_ratio);
}

/** What is wrong with a configuration, or undefined. */
export function configProblem({ embed_dim, vision_cfg: v, text_cfg: t }: ClipConfig): string | undefined {
  return countProblem({ embed_dim }) ?? visionProblem(v) ?? textProblem(t);
}

function visionProblem(vision: VisionConfig): string | undefined {
  const { image_size, width, head_width } = vision;
  if (vision.tower === "resnet") {
    const [one, two, three, four] = vision.layers;
    const problem = countProblem({
      image_size,
      width,
      head_width,
      "layers 1": one,
      "layers 2": two,
      "layers 3": three,
      "layers 4": four,
    });
    if (problem) return problem;
    if (width % 2 !== 0) return `vision width ${width} is odd: the stem's first convolutions have half of it`;
    if (!Number.isInteger(visionHeads(vision)))
      return `${resNetChannels(vision)} channels of the attention pool are no multiple of head_width ${head_width}`;
    if (gridSize(vision) < 1) return `image_size ${image_size} is too small for a ResNet: 32 px at least`;
    return undefined;
  }
  const { layers, patch_size } = vision;
  const problem = countProblem({ image_size, layers, width, head_width, patch_size });
  if (problem) return problem;
  if (width % head_width !== 0) return `vision width ${width} is no multiple of head_width ${head_width}`;
  if (image_size < patch_size) return `image_size ${image_size} is smaller than patch_size ${patch_size}`;
  return undefined;
}

function textProblem({ context_length, vocab_size, width, heads, layers }: TextConfig): string | undefined {
  const problem = countProblem({ context_length, vocab_size, width, heads, layers });
  if (problem) return problem;
  return width % heads === 0 ? undefined : `text width ${width} is no multiple of its ${heads} heads`;
}

function countProblem(counts: Readonly<Record<string, number>>): string | undefined {
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isInteger(value) || value < 1) return `${name} must be a whole number above 0, not ${value}`;
  }
  return undefined;
}
