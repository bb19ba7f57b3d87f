import { NodeError } from "../../engine/sdk.ts";
import type { CheckpointView } from "./checkpoint-view.ts";
import { clipPreprocess, configProblem } from "./config.ts";
import type { BertConfig, ClipConfig, PreprocessConfig, TextConfig, VisionConfig } from "./config.ts";
import { inferText, inferVision } from "./infer.ts";
import type { Hints } from "./infer.ts";
import { numberIn, objectIn, refuseOthers, textIn } from "./json-fields.ts";
import type { JsonPart } from "./json-fields.ts";

/**
 * Reads OpenCLIP's `open_clip_config.json` (or a bare `model_cfg`).
 *
 * @param source file name for messages
 * @param view the checkpoint beside it: towers of timm and Hugging Face take their sizes from its tensors
 * @throws NodeError where it describes a tower that is not built, or a field is missing or wrong
 */
export function parseClipConfig(
  value: unknown,
  source: string,
  view: CheckpointView | undefined,
): ClipConfig {
  const outer = objectIn(value, "the file", source);
  const model = objectIn(outer.value["model_cfg"] ?? outer.value, "model_cfg", source);
  const vision = objectIn(model.value["vision_cfg"], "vision_cfg", source);
  const text = objectIn(model.value["text_cfg"], "text_cfg", source);
  const ours = (outer.value["ranflow_cfg"] ?? {}) as Record<string, unknown>;
  const config: ClipConfig = {
    embed_dim: numberIn(model, "embed_dim"),
    vision_cfg: parseVision(vision, view),
    text_cfg: parseText(text, view, {
      attendPadding: ours["attend_padding"] === true,
      rawText: ours["raw_text"] === true,
    }),
    quick_gelu: model.value["quick_gelu"] === true,
    preprocess_cfg: parsePreprocess(outer.value["preprocess_cfg"], source),
  };
  const problem = configProblem(config);
  if (problem) throw new NodeError(`${source}: ${problem}`);
  return config;
}

/** What `open_clip_config.json` holds for a model: OpenCLIP reads all but `ranflow_cfg`. */
export function formatClipConfig(config: ClipConfig): {
  readonly model_cfg: object;
  readonly [part: string]: unknown;
} {
  const { embed_dim, vision_cfg: vision, text_cfg: text, quick_gelu, preprocess_cfg } = config;
  const { attend_padding, raw_text } = text.tower === "bert" ? text : {};
  return {
    model_cfg: {
      embed_dim,
      vision_cfg: formatVision(vision),
      text_cfg: formatText(text),
      quick_gelu,
    },
    preprocess_cfg,
    ...((attend_padding || raw_text) && {
      ranflow_cfg: { ...(attend_padding && { attend_padding }), ...(raw_text && { raw_text }) },
    }),
  };
}

function parseVision(part: JsonPart, view: CheckpointView | undefined): VisionConfig {
  const { value: given } = part;
  refuseOthers(part, {
    attentional_pool: false,
    pool_type: "tok",
    pos_embed_type: "learnable",
    act_kwargs: null,
    norm_kwargs: null,
    qk_norm: false,
    scaled_cosine_attn: false,
  });
  const imageSize = numberIn(part, "image_size", 224);
  const timm = textIn(part, "timm_model_name");
  if (timm !== undefined) {
    refuseOthers(part, { timm_proj: "linear", timm_proj_bias: false, timm_pool: ["", "token"] });
    const inner = (given["timm_vit_args"] ?? {}) as Record<string, unknown>;
    const heads = inner["num_heads"] ?? ratio(given["width"], given["head_width"]);
    const hints: Hints = { imageSize, timmModelName: timm, visionHeads: heads as number | undefined };
    const found = inferVision(needed(view, part), hints);
    if (found.tower === "timm-vit") return found;
    throw new NodeError(`${part.source} names timm's ${timm}, but the checkpoint holds no ViT of timm`, {
      hint: "Of timm's models only ViTs (BiomedCLIP's) can be loaded.",
    });
  }
  const { layers } = given;
  if (Array.isArray(layers)) {
    const [one, two, three, four] = layers as unknown[];
    if (layers.length !== 4 || ![one, two, three, four].every((count) => typeof count === "number"))
      throw new NodeError(`${part.source}: layers of a ResNet must be four numbers`);
    return {
      tower: "resnet",
      image_size: imageSize,
      layers: layers as unknown as readonly [number, number, number, number],
      width: numberIn(part, "width", 64),
      head_width: numberIn(part, "head_width", 64),
    };
  }
  return {
    tower: "vit",
    image_size: imageSize,
    layers: numberIn(part, "layers", 12),
    width: numberIn(part, "width", 768),
    head_width: numberIn(part, "head_width", 64),
    patch_size: numberIn(part, "patch_size", 16),
    ...mlpRatio(part),
    ...(given["no_ln_pre"] === true ? { no_ln_pre: true } : {}),
  };
}

function parseText(
  part: JsonPart,
  view: CheckpointView | undefined,
  told: Pick<Hints, "attendPadding" | "rawText">,
): TextConfig {
  const { value: given } = part;
  const name = textIn(part, "hf_model_name");
  if (name !== undefined) {
    refuseOthers(part, {
      hf_proj_type: ["mlp", "linear"],
      hf_pooler_type: ["cls_pooler", "cls_last_hidden_state_pooler"],
    });
    const bert = (given["bert_config"] ?? {}) as Record<string, unknown>;
    const found = inferText(needed(view, part), {
      hfModelName: name,
      hfPoolerType: given["hf_pooler_type"] as BertConfig["hf_pooler_type"],
      contextLength: numberIn(part, "context_length", 77),
      textHeads: (bert["num_attention_heads"] ?? given["heads"]) as number | undefined,
      ...told,
    });
    if (found.tower === "bert" && !/roberta/i.test(name)) return found;
    throw new NodeError(`${part.source}: the text tower ${name} is no BERT`, {
      hint: "Of Hugging Face's text models only BERT (PubMedBERT and its like) can be loaded.",
    });
  }
  refuseOthers(part, {
    pool_type: ["argmax", "eos"],
    no_causal_mask: false,
    embed_cls: false,
    proj_type: "linear",
    proj_bias: false,
    act_kwargs: null,
    norm_kwargs: null,
    qk_norm: false,
    scaled_cosine_attn: false,
  });
  return {
    tower: "clip",
    context_length: numberIn(part, "context_length", 77),
    vocab_size: numberIn(part, "vocab_size", 49408),
    width: numberIn(part, "width", 512),
    heads: numberIn(part, "heads", 8),
    layers: numberIn(part, "layers", 12),
    ...mlpRatio(part),
    ...(given["pool_type"] === "eos" ? { eos_id: numberIn(part, "eos_id", 2) } : {}),
  };
}

function mlpRatio(part: JsonPart): { mlp_ratio?: number } {
  const ratio = numberIn(part, "mlp_ratio", 4);
  return ratio === 4 ? {} : { mlp_ratio: ratio };
}

function needed(view: CheckpointView | undefined, { source }: JsonPart): CheckpointView {
  if (view) return view;
  throw new NodeError(`${source}: towers of timm and Hugging Face take their sizes from a checkpoint`, {
    hint: "Give the checkpoint (`checkpoint`) that this configuration belongs to.",
  });
}

function ratio(width: unknown, headWidth: unknown): number | undefined {
  return typeof width === "number" && typeof headWidth === "number" ? width / headWidth : undefined;
}

/** @throws NodeError where images would have to be prepared in a way that is not built */
function parsePreprocess(value: unknown, source: string): PreprocessConfig {
  if (value === undefined) return clipPreprocess;
  const part = objectIn(value, "preprocess_cfg", source);
  refuseOthers(part, { interpolation: "bicubic", resize_mode: "shortest", mode: "RGB" });
  return {
    mean: channelsIn(part, "mean") ?? clipPreprocess.mean,
    std: channelsIn(part, "std") ?? clipPreprocess.std,
  };
}

/** One number per channel. */
export function channelsIn(
  { value, source }: JsonPart,
  name: string,
): readonly [number, number, number] | undefined {
  const found = value[name];
  if (found === undefined) return undefined;
  if (Array.isArray(found) && found.length === 3 && found.every((one) => typeof one === "number"))
    return found as unknown as readonly [number, number, number];
  throw new NodeError(`${source}: ${name} must be three numbers, one for each of red, green and blue`);
}

function formatVision(vision: VisionConfig): Record<string, unknown> {
  const { tower, ...fields } = vision;
  if (tower !== "timm-vit") return fields;
  return { ...fields, timm_model_pretrained: false, timm_pool: "", timm_proj: "linear" };
}

function formatText(text: TextConfig): Record<string, unknown> {
  if (text.tower === "clip") {
    const { tower: _, eos_id, ...fields } = text;
    return { ...fields, ...(eos_id !== undefined && { pool_type: "eos", eos_id }) };
  }
  // OpenCLIP takes the sizes from Hugging Face's configuration; these are fields that it accepts, and ours.
  const {
    hf_model_name,
    hf_proj_type,
    hf_pooler_type,
    context_length,
    vocab_size,
    width,
    heads,
    layers,
    pad_id,
  } = text;
  return {
    hf_model_name,
    hf_tokenizer_name: hf_model_name,
    hf_model_pretrained: false,
    hf_proj_type,
    hf_pooler_type,
    context_length,
    vocab_size,
    width,
    heads,
    layers,
    pad_id,
  };
}
