/** A layout of names in which checkpoints of CLIP models come. All are told apart by their keys. */
export type CheckpointFormat = "openclip" | "hugging-face" | "pmc-clip";

/** Where a format keeps a tensor: the rows of one or several, one after another, or a matrix the other way round. */
export interface Place {
  readonly names: readonly string[];
  readonly transposed?: boolean;
}

/** A format by the place of each tensor, which is asked for by OpenCLIP's name. */
export type Naming = (name: string) => Place;

/**
 * The format of a checkpoint and where it keeps things, or undefined where its keys are those of no CLIP model.
 * OpenAI's and PubMedCLIP's `.pth` have OpenCLIP's own names; so has BiomedCLIP.
 *
 * @param has whether the checkpoint has a tensor of this name, without a `module.` prefix
 */
export function recognise(
  has: (name: string) => boolean,
): { format: CheckpointFormat; naming: Naming } | undefined {
  if (has("vision_model.embeddings.class_embedding") || has("text_model.final_layer_norm.weight"))
    return { format: "hugging-face", naming: huggingFace };
  if (has("text_encoder.embeddings.word_embeddings.weight")) return { format: "pmc-clip", naming: pmcClip };
  if (has("visual.conv1.weight") || has("visual.trunk.cls_token"))
    return { format: "openclip", naming: has("text.token_embedding.weight") ? textApart : same };
  return undefined;
}

/** Entries of real checkpoints that are no parameters, or belong to parts that no encoder needs. */
export function isIgnored(format: CheckpointFormat, name: string): boolean {
  if (/(^|\.)(position_ids|num_batches_tracked|attn_mask)$/.test(name)) return true;
  switch (format) {
    case "openclip":
      return /^(input_resolution|context_length|vocab_size)$|^text\.transformer\.pooler\./.test(name);
    case "hugging-face":
      return false;
    case "pmc-clip":
      // The fusion of image and text, and masked language modelling.
      return /^(fusion_module\.|ln_final\.|text_encoder\.pooler\.)|^(mlm_projection|img_special_token|positional_embedding)$/.test(
        name,
      );
  }
}

const same: Naming = (name) => ({ names: [name] });

/** OpenCLIP's CustomTextCLIP with its own text transformer. */
const textApart: Naming = (name) => ({
  names: [name.startsWith("visual.") || name === "logit_scale" ? name : `text.${name}`],
});

const pmcClip: Naming = (name) => {
  if (name === "text.proj.weight") return { names: ["text_projection"], transposed: true };
  return { names: [name.replace(/^text\.transformer\./, "text_encoder.")] };
};

const huggingFace: Naming = (name) => {
  const fixed = huggingFacePlaces[name];
  if (fixed) return fixed;
  const [, vision, layer, leaf = ""] = /^(visual\.)?transformer\.resblocks\.(\d+)\.(.*)$/.exec(name) ?? [];
  const prefix = `${vision ? "vision_model" : "text_model"}.encoder.layers.${layer}`;
  const joint = /^attn\.in_proj_(weight|bias)$/.exec(leaf);
  if (joint) return { names: ["q", "k", "v"].map((part) => `${prefix}.self_attn.${part}_proj.${joint[1]}`) };
  const renamed = leaf
    .replace(/^attn\.out_proj/, "self_attn.out_proj")
    .replace(/^mlp\.c_fc/, "mlp.fc1")
    .replace(/^mlp\.c_proj/, "mlp.fc2")
    .replace(/^ln_([12])/, "layer_norm$1");
  return { names: [layer === undefined ? name : `${prefix}.${renamed}`] };
};

const huggingFacePlaces: Readonly<Record<string, Place>> = {
  "visual.class_embedding": { names: ["vision_model.embeddings.class_embedding"] },
  "visual.positional_embedding": { names: ["vision_model.embeddings.position_embedding.weight"] },
  "visual.conv1.weight": { names: ["vision_model.embeddings.patch_embedding.weight"] },
  // The misspelling is the format's.
  "visual.ln_pre.weight": { names: ["vision_model.pre_layrnorm.weight"] },
  "visual.ln_pre.bias": { names: ["vision_model.pre_layrnorm.bias"] },
  "visual.ln_post.weight": { names: ["vision_model.post_layernorm.weight"] },
  "visual.ln_post.bias": { names: ["vision_model.post_layernorm.bias"] },
  "visual.proj": { names: ["visual_projection.weight"], transposed: true },
  "token_embedding.weight": { names: ["text_model.embeddings.token_embedding.weight"] },
  positional_embedding: { names: ["text_model.embeddings.position_embedding.weight"] },
  "ln_final.weight": { names: ["text_model.final_layer_norm.weight"] },
  "ln_final.bias": { names: ["text_model.final_layer_norm.bias"] },
  text_projection: { names: ["text_projection.weight"], transposed: true },
};
