import type { LinearNames } from "./linear.ts";

/** Names of the parameters of a pre-norm transformer block, whose projections of query, key and value are one. */
export interface BlockNames {
  readonly norm1: string;
  readonly qkv: LinearNames;
  readonly out: LinearNames;
  readonly norm2: string;
  readonly fc: LinearNames;
  readonly proj: LinearNames;
}

/** A linear layer's parameters by the usual names. */
export const linearNames = (name: string): LinearNames => ({
  weight: `${name}.weight`,
  bias: `${name}.bias`,
});

/** A residual attention block as OpenCLIP names it. */
export const openClipBlock = (prefix: string): BlockNames => ({
  norm1: `${prefix}.ln_1`,
  qkv: { weight: `${prefix}.attn.in_proj_weight`, bias: `${prefix}.attn.in_proj_bias` },
  out: linearNames(`${prefix}.attn.out_proj`),
  norm2: `${prefix}.ln_2`,
  fc: linearNames(`${prefix}.mlp.c_fc`),
  proj: linearNames(`${prefix}.mlp.c_proj`),
});

/** A block of a ViT as timm names it. */
export const timmBlock = (prefix: string): BlockNames => ({
  norm1: `${prefix}.norm1`,
  qkv: linearNames(`${prefix}.attn.qkv`),
  out: linearNames(`${prefix}.attn.proj`),
  norm2: `${prefix}.norm2`,
  fc: linearNames(`${prefix}.mlp.fc1`),
  proj: linearNames(`${prefix}.mlp.fc2`),
});
