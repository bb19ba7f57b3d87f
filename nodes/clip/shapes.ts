import { gridSize, mlpWidth, preProjectionWidth, resNetChannels } from "./config.ts";
import type {
  BertConfig,
  ClipConfig,
  ClipTextConfig,
  ResNetConfig,
  TextConfig,
  TimmVitConfig,
  VitConfig,
} from "./config.ts";

/** Shapes by OpenCLIP's names, in PyTorch's layout. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** Names and shapes of all trained parameters of a configuration. */
export function parameterShapes(config: ClipConfig): Shapes {
  const list = newList();
  listVision(list, config);
  listText(list, config);
  list.add("logit_scale", []);
  return list.parameters;
}

/** Names and shapes of all that a checkpoint holds: the parameters, and the running statistics of batch norms. */
export function stateShapes(config: ClipConfig): Shapes {
  return new Map([...parameterShapes(config), ...runningShapes(config)]);
}

/** Names and shapes of the running statistics of a configuration's batch norms. */
export function runningShapes(config: ClipConfig): Shapes {
  const list = newList();
  listVision(list, config);
  return list.running;
}

/** Name of a text tower's table of tokens. */
export function tokenTable({ tower }: TextConfig): string {
  return tower === "bert" ? "text.transformer.embeddings.word_embeddings.weight" : "token_embedding.weight";
}

function newList() {
  const parameters = new Map<string, readonly number[]>();
  const running = new Map<string, readonly number[]>();
  const add = (name: string, shape: readonly number[]): void => void parameters.set(name, shape);
  const norm = (name: string, width: number): void => {
    add(`${name}.weight`, [width]);
    add(`${name}.bias`, [width]);
  };
  return {
    parameters,
    running,
    add,
    norm,
    linear(name: string, [inner, out]: readonly [inner: number, out: number]): void {
      add(`${name}.weight`, [out, inner]);
      add(`${name}.bias`, [out]);
    },
    /** A convolution without bias and its batch norm. */
    convolution(
      name: string,
      normName: string,
      [inner, out, size]: readonly [inner: number, out: number, size: number],
    ): void {
      add(`${name}.weight`, [out, inner, size, size]);
      norm(normName, out);
      running.set(`${normName}.running_mean`, [out]).set(`${normName}.running_var`, [out]);
    },
  };
}

type List = ReturnType<typeof newList>;

function listVision(list: List, { vision_cfg: vision, embed_dim: embed }: ClipConfig): void {
  switch (vision.tower) {
    case "vit":
      return listVit(list, vision, embed);
    case "timm-vit":
      return listTimmVit(list, vision, embed);
    case "resnet":
      return listResNet(list, vision, embed);
  }
}

function listText(list: List, { text_cfg: text, embed_dim: embed }: ClipConfig): void {
  if (text.tower === "bert") listBert(list, text, embed);
  else listClipText(list, text, embed);
}

/** Residual attention blocks by OpenCLIP's names. */
function listBlocks(list: List, prefix: string, config: VitConfig | ClipTextConfig): void {
  const { layers, width } = config;
  for (let layer = 0; layer < layers; layer++) {
    const name = `${prefix}.resblocks.${layer}`;
    list.norm(`${name}.ln_1`, width);
    list.add(`${name}.attn.in_proj_weight`, [3 * width, width]);
    list.add(`${name}.attn.in_proj_bias`, [3 * width]);
    list.linear(`${name}.attn.out_proj`, [width, width]);
    list.norm(`${name}.ln_2`, width);
    list.linear(`${name}.mlp.c_fc`, [width, mlpWidth(config)]);
    list.linear(`${name}.mlp.c_proj`, [mlpWidth(config), width]);
  }
}

function listVit(list: List, config: VitConfig, embed: number): void {
  const { width, patch_size: patch } = config;
  list.add("visual.class_embedding", [width]);
  list.add("visual.positional_embedding", [1 + gridSize(config) ** 2, width]);
  list.add("visual.conv1.weight", [width, 3, patch, patch]);
  if (!config.no_ln_pre) list.norm("visual.ln_pre", width);
  listBlocks(list, "visual.transformer", config);
  list.norm("visual.ln_post", width);
  list.add("visual.proj", [width, embed]);
}

function listTimmVit(list: List, config: TimmVitConfig, embed: number): void {
  const { layers, width, patch_size: patch } = config;
  list.add("visual.trunk.cls_token", [1, 1, width]);
  list.add("visual.trunk.pos_embed", [1, 1 + gridSize(config) ** 2, width]);
  list.add("visual.trunk.patch_embed.proj.weight", [width, 3, patch, patch]);
  list.add("visual.trunk.patch_embed.proj.bias", [width]);
  for (let layer = 0; layer < layers; layer++) {
    const name = `visual.trunk.blocks.${layer}`;
    list.norm(`${name}.norm1`, width);
    list.linear(`${name}.attn.qkv`, [width, 3 * width]);
    list.linear(`${name}.attn.proj`, [width, width]);
    list.norm(`${name}.norm2`, width);
    list.linear(`${name}.mlp.fc1`, [width, mlpWidth(config)]);
    list.linear(`${name}.mlp.fc2`, [mlpWidth(config), width]);
  }
  list.norm("visual.trunk.norm", width);
  list.add("visual.head.proj.weight", [embed, width]);
}

function listResNet(list: List, config: ResNetConfig, embed: number): void {
  const { width } = config;
  const half = width / 2;
  list.convolution("visual.conv1", "visual.bn1", [3, half, 3]);
  list.convolution("visual.conv2", "visual.bn2", [half, half, 3]);
  list.convolution("visual.conv3", "visual.bn3", [half, width, 3]);
  let channels = width;
  config.layers.forEach((blocks, stage) => {
    const planes = width * 2 ** stage;
    for (let block = 0; block < blocks; block++) {
      const name = `visual.layer${stage + 1}.${block}`;
      list.convolution(`${name}.conv1`, `${name}.bn1`, [channels, planes, 1]);
      list.convolution(`${name}.conv2`, `${name}.bn2`, [planes, planes, 3]);
      list.convolution(`${name}.conv3`, `${name}.bn3`, [planes, 4 * planes, 1]);
      // Where the block changes the channels or the grid, its shortcut is a convolution.
      if (block === 0) {
        list.convolution(`${name}.downsample.0`, `${name}.downsample.1`, [channels, 4 * planes, 1]);
      }
      channels = 4 * planes;
    }
  });
  const last = resNetChannels(config);
  list.add("visual.attnpool.positional_embedding", [1 + gridSize(config) ** 2, last]);
  for (const part of ["q", "k", "v"]) list.linear(`visual.attnpool.${part}_proj`, [last, last]);
  list.linear("visual.attnpool.c_proj", [preProjectionWidth(config), embed]);
}

function listClipText(list: List, config: ClipTextConfig, embed: number): void {
  const { vocab_size: vocabulary, context_length: context, width } = config;
  list.add("token_embedding.weight", [vocabulary, width]);
  list.add("positional_embedding", [context, width]);
  listBlocks(list, "transformer", config);
  list.norm("ln_final", width);
  list.add("text_projection", [width, embed]);
}

function listBert(list: List, config: BertConfig, embed: number): void {
  const { width, layers, intermediate_size: inner } = config;
  const embeddings = "text.transformer.embeddings";
  list.add(`${embeddings}.word_embeddings.weight`, [config.vocab_size, width]);
  list.add(`${embeddings}.position_embeddings.weight`, [config.max_position_embeddings, width]);
  list.add(`${embeddings}.token_type_embeddings.weight`, [config.type_vocab_size, width]);
  list.norm(`${embeddings}.LayerNorm`, width);
  for (let layer = 0; layer < layers; layer++) {
    const name = `text.transformer.encoder.layer.${layer}`;
    for (const part of ["query", "key", "value"])
      list.linear(`${name}.attention.self.${part}`, [width, width]);
    list.linear(`${name}.attention.output.dense`, [width, width]);
    list.norm(`${name}.attention.output.LayerNorm`, width);
    list.linear(`${name}.intermediate.dense`, [width, inner]);
    list.linear(`${name}.output.dense`, [inner, width]);
    list.norm(`${name}.output.LayerNorm`, width);
  }
  if (config.hf_pooler_type === "cls_pooler") list.linear("text.transformer.pooler.dense", [width, width]);
  if (config.hf_proj_type === "linear") list.add("text.proj.weight", [embed, width]);
  else {
    const hidden = Math.floor((width + embed) / 2);
    list.add("text.proj.0.weight", [hidden, width]);
    list.add("text.proj.2.weight", [embed, hidden]);
  }
}
