/** Small CLIP models of every architecture, with random parameters, and their checkpoints in other formats. */
import { clipPreprocess } from "../../nodes/clip/config.ts";
import type {
  BertConfig,
  ClipConfig,
  ClipTextConfig,
  ResNetConfig,
  TimmVitConfig,
  VitConfig,
} from "../../nodes/clip/config.ts";
import { stateShapes } from "../../nodes/clip/shapes.ts";
import { transposed } from "../../nodes/clip/layout.ts";
import type { ClipState, FloatTensor } from "../../nodes/clip/weights.ts";
import { randomStream } from "../../nodes/random.ts";
import { elements } from "../../nodes/safetensors.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";

const vit: VitConfig = {
  tower: "vit",
  image_size: 16,
  layers: 2,
  width: 32,
  head_width: 16,
  patch_size: 8,
};

const timm: TimmVitConfig = {
  tower: "timm-vit",
  timm_model_name: "vit_base_patch8_16",
  image_size: 16,
  layers: 2,
  width: 24,
  head_width: 8,
  patch_size: 8,
};

const resNet: ResNetConfig = {
  tower: "resnet",
  image_size: 32,
  layers: [1, 2, 1, 1],
  width: 4,
  head_width: 32,
};

const text: ClipTextConfig = {
  tower: "clip",
  context_length: 12,
  vocab_size: 560,
  width: 32,
  heads: 2,
  layers: 1,
};

const bert: BertConfig = {
  tower: "bert",
  hf_model_name: "a/bert",
  hf_proj_type: "mlp",
  hf_pooler_type: "cls_last_hidden_state_pooler",
  context_length: 12,
  vocab_size: 40,
  width: 24,
  heads: 2,
  layers: 2,
  intermediate_size: 60,
  max_position_embeddings: 14,
  type_vocab_size: 2,
  pad_id: 0,
};

const common = { embed_dim: 16, quick_gelu: false, preprocess_cfg: clipPreprocess };

/** One model of each pair of towers that checkpoints come with, and of each variant of a tower. */
export const smallModels = {
  vit: { ...common, vision_cfg: vit, text_cfg: text },
  "vit without ln_pre, narrow MLPs, first end": {
    ...common,
    quick_gelu: true,
    vision_cfg: { ...vit, no_ln_pre: true, mlp_ratio: 2 },
    text_cfg: { ...text, eos_id: 5, mlp_ratio: 3 },
    preprocess_cfg: { mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] },
  },
  resnet: { ...common, quick_gelu: true, vision_cfg: resNet, text_cfg: text },
  biomedclip: { ...common, vision_cfg: timm, text_cfg: bert },
  "pmc-clip": {
    ...common,
    vision_cfg: resNet,
    text_cfg: {
      ...bert,
      hf_proj_type: "linear",
      hf_pooler_type: "cls_pooler",
      attend_padding: true,
      raw_text: true,
    },
  },
} as const satisfies Readonly<Record<string, ClipConfig>>;

/** Random values for everything a checkpoint holds; variances are positive. */
export function randomState(config: ClipConfig, seed = 1): ClipState {
  const state = new Map<string, FloatTensor>();
  for (const [name, shape] of stateShapes(config)) {
    const random = randomStream(seed, "state", name);
    const spread = shape.length > 1 ? 0.2 : 0.1;
    const data = Float32Array.from({ length: elements(shape) }, () => spread * random.normal());
    if (name.endsWith("running_var")) data.forEach((value, at) => (data[at] = 0.5 + Math.abs(value)));
    else if (/(ln_\w+|norm\d?|LayerNorm|bn\d|downsample\.1)\.weight$/.test(name))
      data.forEach((value, at) => (data[at] = 1 + value));
    state.set(name, { shape, data });
  }
  return state;
}

/** A state with OpenCLIP's names as Hugging Face's CLIPModel names it. */
export function asHuggingFace(state: ClipState): Map<string, StoredTensor> {
  const given = new Map<string, StoredTensor>();
  const tables: Readonly<Record<string, string>> = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.proj": "visual_projection.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    positional_embedding: "text_model.embeddings.position_embedding.weight",
    text_projection: "text_projection.weight",
  };
  for (const [name, { shape, data }] of state) {
    const renamed = (tables[name] ?? name)
      .replace(/^visual\.transformer\.resblocks/, "vision_model.encoder.layers")
      .replace(/^transformer\.resblocks/, "text_model.encoder.layers")
      .replace(/^visual\.ln_pre/, "vision_model.pre_layrnorm")
      .replace(/^visual\.ln_post/, "vision_model.post_layernorm")
      .replace(/^ln_final/, "text_model.final_layer_norm")
      .replace(/\.ln_([12])\./, ".layer_norm$1.")
      .replace(".attn.out_proj.", ".self_attn.out_proj.")
      .replace(".mlp.c_fc.", ".mlp.fc1.")
      .replace(".mlp.c_proj.", ".mlp.fc2.");
    const joint = /^(.*)\.attn\.in_proj_(weight|bias)$/.exec(renamed);
    if (joint) {
      ["q", "k", "v"].forEach((part, index) => {
        const third = data.length / 3;
        given.set(`${joint[1]}.self_attn.${part}_proj.${joint[2]}`, {
          shape: [(shape[0] ?? 0) / 3, ...shape.slice(1)],
          data: data.slice(index * third, (index + 1) * third),
        });
      });
    } else if (/projection/.test(name) || name === "visual.proj") {
      const [rows = 0, columns = 0] = shape;
      given.set(renamed, { shape: [columns, rows], data: transposed(data, rows, columns) });
    } else given.set(renamed, { shape, data });
  }
  given.set("text_model.embeddings.position_ids", { shape: [1, 2], data: BigInt64Array.of(0n, 1n) });
  return given;
}

/** Hugging Face's `config.json` of a ViT CLIP. */
export function huggingFaceConfig({
  vision_cfg: v,
  text_cfg: t,
  quick_gelu,
}: ClipConfig<VitConfig, ClipTextConfig>) {
  const hidden_act = quick_gelu ? "quick_gelu" : "gelu";
  return {
    model_type: "clip",
    vision_config: {
      hidden_act,
      image_size: v.image_size,
      patch_size: v.patch_size,
      num_attention_heads: v.width / v.head_width,
    },
    text_config: { hidden_act, num_attention_heads: t.heads, eos_token_id: t.eos_id ?? 2 },
  };
}

type Tensors = Map<string, StoredTensor>;

/** A state with OpenCLIP's names as PMC-CLIP's three files. */
export function asPmcParts(state: ClipState): [image: Tensors, text: Tensors, projection: Tensors] {
  const parts: [Tensors, Tensors, Tensors] = [new Map(), new Map(), new Map()];
  const [image, text, projection] = parts;
  for (const [name, tensor] of state) {
    const [rows = 0, columns = 0] = tensor.shape;
    if (name.startsWith("visual.")) image.set(name.slice("visual.".length), tensor);
    else if (name === "text.proj.weight") {
      const data = transposed(tensor.data, rows, columns);
      projection.set("text_projection_layer", { shape: [columns, rows], data });
    } else if (name !== "logit_scale") text.set(name.slice("text.transformer.".length), tensor);
  }
  return parts;
}
