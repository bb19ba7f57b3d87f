import { NodeError } from "../../engine/sdk.ts";
import type { CheckpointView } from "./checkpoint-view.ts";
import { clipPreprocess, configProblem, mlpWidth } from "./config.ts";
import type {
  BertConfig,
  ClipConfig,
  ClipTextConfig,
  PreprocessConfig,
  ResNetConfig,
  TextConfig,
  TimmVitConfig,
  VisionConfig,
  VitConfig,
} from "./config.ts";

/** What no tensor shows. Files beside a checkpoint or the user may say it; the rest has a rule. */
export interface Hints {
  /** Activation of OpenCLIP's own towers. */
  readonly quickGelu?: boolean | undefined;
  /** Side of the input image; the checkpoint's own unless told. */
  readonly imageSize?: number | undefined;
  /** Width / 64 unless told. */
  readonly visionHeads?: number | undefined;
  readonly textHeads?: number | undefined;
  /** The text is pooled at the first of these ids, not at its first largest one. */
  readonly eosId?: number | undefined;
  readonly contextLength?: number | undefined;
  readonly preprocess?: PreprocessConfig | undefined;
  readonly timmModelName?: string | undefined;
  readonly hfModelName?: string | undefined;
  readonly hfPoolerType?: BertConfig["hf_pooler_type"] | undefined;
  readonly attendPadding?: boolean | undefined;
  readonly rawText?: boolean | undefined;
}

/**
 * Works a configuration out from the shapes of a checkpoint and what is said beside it. Heads follow OpenAI's rule,
 * width / 64, where they are not told.
 *
 * @throws NodeError where the tensors are not those of a CLIP, or the activation is neither told nor can be inferred
 */
export function inferClipConfig(view: CheckpointView, hints: Hints): ClipConfig {
  const vision = inferVision(view, hints);
  const text = inferText(view, hints);
  const config: ClipConfig = {
    embed_dim: embedWidth(view, vision.tower),
    vision_cfg: vision,
    text_cfg: text,
    quick_gelu: inferQuickGelu(view, vision, text, hints),
    preprocess_cfg: hints.preprocess ?? clipPreprocess,
  };
  const problem = configProblem(config);
  if (problem) throw new NodeError(`${view.source}: its tensors describe no CLIP: ${problem}`);
  return config;
}

export function inferVision(view: CheckpointView, hints: Hints): VisionConfig {
  if (view.shape("visual.trunk.cls_token")) return inferTimmVit(view, hints);
  if (view.shape("visual.layer1.0.conv1.weight")) return inferResNet(view, hints);
  return inferVit(view, hints);
}

export function inferText(view: CheckpointView, hints: Hints): TextConfig {
  return view.shape("text.transformer.embeddings.word_embeddings.weight")
    ? inferBert(view, hints)
    : inferClipText(view, hints);
}

function inferVit(view: CheckpointView, hints: Hints): VitConfig {
  const width = sizeOf(view, "visual.conv1.weight", 0);
  const patch = sizeOf(view, "visual.conv1.weight", 2);
  const side = gridSide(view, "visual.positional_embedding");
  return {
    tower: "vit",
    image_size: hints.imageSize ?? side * patch,
    layers: countLayers(view, (layer) => `visual.transformer.resblocks.${layer}.ln_1.weight`),
    width,
    head_width: headWidth(width, hints.visionHeads),
    patch_size: patch,
    ...mlpRatio(view, "visual.transformer.resblocks.0.mlp.c_fc.weight"),
    ...(view.shape("visual.ln_pre.weight") ? {} : { no_ln_pre: true }),
  };
}

function inferTimmVit(view: CheckpointView, hints: Hints): TimmVitConfig {
  const width = sizeOf(view, "visual.trunk.patch_embed.proj.weight", 0);
  const patch = sizeOf(view, "visual.trunk.patch_embed.proj.weight", 2);
  const side = gridSide(view, "visual.trunk.pos_embed");
  return {
    tower: "timm-vit",
    timm_model_name: hints.timmModelName ?? `vit_base_patch${patch}_${side * patch}`,
    image_size: hints.imageSize ?? side * patch,
    layers: countLayers(view, (layer) => `visual.trunk.blocks.${layer}.norm1.weight`),
    width,
    head_width: headWidth(width, hints.visionHeads),
    patch_size: patch,
    ...mlpRatio(view, "visual.trunk.blocks.0.mlp.fc1.weight"),
  };
}

function inferResNet(view: CheckpointView, hints: Hints): ResNetConfig {
  const width = sizeOf(view, "visual.conv3.weight", 0);
  const stage = (index: number): number =>
    countLayers(view, (block) => `visual.layer${index}.${block}.conv1.weight`);
  const channels = sizeOf(view, "visual.attnpool.positional_embedding", 1);
  return {
    tower: "resnet",
    image_size: hints.imageSize ?? 32 * gridSide(view, "visual.attnpool.positional_embedding"),
    layers: [stage(1), stage(2), stage(3), stage(4)],
    width,
    head_width: headWidth(channels, hints.visionHeads),
  };
}

function inferClipText(view: CheckpointView, hints: Hints): ClipTextConfig {
  const width = sizeOf(view, "ln_final.weight", 0);
  return {
    tower: "clip",
    context_length: sizeOf(view, "positional_embedding", 0),
    vocab_size: sizeOf(view, "token_embedding.weight", 0),
    width,
    heads: hints.textHeads ?? Math.max(1, Math.floor(width / 64)),
    layers: countLayers(view, (layer) => `transformer.resblocks.${layer}.ln_1.weight`),
    ...mlpRatio(view, "transformer.resblocks.0.mlp.c_fc.weight"),
    ...(hints.eosId === undefined ? {} : { eos_id: hints.eosId }),
  };
}

function inferBert(view: CheckpointView, hints: Hints): BertConfig {
  const embeddings = "text.transformer.embeddings";
  const vocabulary = sizeOf(view, `${embeddings}.word_embeddings.weight`, 0);
  const width = sizeOf(view, `${embeddings}.word_embeddings.weight`, 1);
  const positions = sizeOf(view, `${embeddings}.position_embeddings.weight`, 0);
  return {
    tower: "bert",
    hf_model_name: hints.hfModelName ?? "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
    hf_proj_type: view.shape("text.proj.weight") ? "linear" : "mlp",
    hf_pooler_type: hints.hfPoolerType ?? "cls_last_hidden_state_pooler",
    context_length: hints.contextLength ?? Math.min(positions, 256),
    vocab_size: vocabulary,
    width,
    heads: hints.textHeads ?? Math.max(1, Math.floor(width / 64)),
    layers: countLayers(
      view,
      (layer) => `text.transformer.encoder.layer.${layer}.attention.self.query.weight`,
    ),
    intermediate_size: sizeOf(view, "text.transformer.encoder.layer.0.intermediate.dense.weight", 0),
    max_position_embeddings: positions,
    type_vocab_size: sizeOf(view, `${embeddings}.token_type_embeddings.weight`, 0),
    pad_id: 0,
    ...(hints.attendPadding ? { attend_padding: true } : {}),
    ...(hints.rawText ? { raw_text: true } : {}),
  };
}

function embedWidth(view: CheckpointView, tower: VisionConfig["tower"]): number {
  switch (tower) {
    case "vit":
      return sizeOf(view, "visual.proj", 1);
    case "timm-vit":
      return sizeOf(view, "visual.head.proj.weight", 0);
    case "resnet":
      return sizeOf(view, "visual.attnpool.c_proj.weight", 0);
  }
}

function inferQuickGelu(
  view: CheckpointView,
  vision: VisionConfig,
  text: TextConfig,
  { quickGelu }: Hints,
): boolean {
  // A ResNet has ReLUs, timm's ViT and BERT the exact GELU.
  if (vision.tower !== "vit" && text.tower === "bert") return false;
  if (quickGelu !== undefined) return quickGelu;
  // OpenAI's own files say their sizes in three scalars, and no other format has them.
  if (view.has("input_resolution") && view.has("context_length")) return true;
  throw new NodeError(
    `${view.source}: neither its tensors nor a configuration beside it say which activation it was trained with`,
    {
      hint: "Put its open_clip_config.json (or Hugging Face's config.json) beside it, or give `quickGelu`: true for OpenAI's weights and PubMedCLIP, false for OpenCLIP's LAION and DataComp weights.",
    },
  );
}

function sizeOf(view: CheckpointView, name: string, axis: number): number {
  const size = view.shape(name)?.[axis];
  if (size === undefined) {
    throw new NodeError(
      `${view.source}: the architecture cannot be inferred, for the tensor ${view.names(name).join(" + ")} is ${view.shape(name) ? `[${view.shape(name)?.join(", ")}]` : "missing"}`,
      { hint: "Check that the file is the whole checkpoint, or give `arch`." },
    );
  }
  return size;
}

/** Side of the square grid that a table of positions (behind the class token's) stands for. */
function gridSide(view: CheckpointView, name: string): number {
  const rows = sizeOf(view, name, (view.shape(name)?.length ?? 2) - 2);
  const side = Math.sqrt(rows - 1);
  if (!Number.isInteger(side)) {
    throw new NodeError(
      `${view.source}: ${view.names(name).join(" + ")} has ${rows} rows, which is no square and a class token`,
      { hint: "Only square grids of patches are supported." },
    );
  }
  return side;
}

function countLayers(view: CheckpointView, nameOf: (layer: number) => string): number {
  let count = 0;
  while (view.shape(nameOf(count))) count++;
  return count;
}

function headWidth(width: number, heads: number | undefined): number {
  return heads === undefined ? Math.min(64, width) : width / heads;
}

function mlpRatio(view: CheckpointView, name: string): { mlp_ratio?: number } {
  const [inner, width] = view.shape(name) ?? [];
  if (inner === undefined || width === undefined || inner === 4 * width) return {};
  const ratio = inner / width;
  // OpenCLIP cuts width · ratio down to a whole number, and rounding must not take the last one away.
  return { mlp_ratio: mlpWidth({ width, mlp_ratio: ratio }) === inner ? ratio : (inner + 0.5) / width };
}
