import { NodeError } from "../../engine/sdk.ts";
import { elements } from "../safetensors.ts";
import type { StoredTensor } from "../safetensors.ts";
import { gridSize } from "./config.ts";
import type { ClipConfig } from "./config.ts";
import { resizePositions } from "./positions.ts";

/** A float32 tensor at rest. */
export interface FloatTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The parameters of a model by OpenCLIP's names, in PyTorch's layout: what a checkpoint file holds. */
export type ClipState = ReadonlyMap<string, FloatTensor>;

/** Entries of real checkpoints that are no parameters. */
const ignored = new Set(["input_resolution", "context_length", "vocab_size", "attn_mask"]);

/** Names and shapes of all parameters of a configuration, in PyTorch's layout. */
export function parameterShapes(config: ClipConfig): ReadonlyMap<string, readonly number[]> {
  const { embed_dim: embed, vision_cfg: v, text_cfg: t } = config;
  const shapes = new Map<string, readonly number[]>();
  const norm = (name: string, width: number): void => {
    shapes.set(`${name}.weight`, [width]).set(`${name}.bias`, [width]);
  };
  const blocks = (prefix: string, layers: number, width: number): void => {
    for (let layer = 0; layer < layers; layer++) {
      const name = `${prefix}.resblocks.${layer}`;
      norm(`${name}.ln_1`, width);
      shapes.set(`${name}.attn.in_proj_weight`, [3 * width, width]);
      shapes.set(`${name}.attn.in_proj_bias`, [3 * width]);
      shapes.set(`${name}.attn.out_proj.weight`, [width, width]);
      shapes.set(`${name}.attn.out_proj.bias`, [width]);
      norm(`${name}.ln_2`, width);
      shapes.set(`${name}.mlp.c_fc.weight`, [4 * width, width]);
      shapes.set(`${name}.mlp.c_fc.bias`, [4 * width]);
      shapes.set(`${name}.mlp.c_proj.weight`, [width, 4 * width]);
      shapes.set(`${name}.mlp.c_proj.bias`, [width]);
    }
  };
  shapes.set("visual.class_embedding", [v.width]);
  shapes.set("visual.positional_embedding", [1 + gridSize(v) ** 2, v.width]);
  shapes.set("visual.conv1.weight", [v.width, 3, v.patch_size, v.patch_size]);
  norm("visual.ln_pre", v.width);
  blocks("visual.transformer", v.layers, v.width);
  norm("visual.ln_post", v.width);
  shapes.set("visual.proj", [v.width, embed]);
  shapes.set("token_embedding.weight", [t.vocab_size, t.width]);
  shapes.set("positional_embedding", [t.context_length, t.width]);
  blocks("transformer", t.layers, t.width);
  norm("ln_final", t.width);
  shapes.set("text_projection", [t.width, embed]);
  shapes.set("logit_scale", []);
  return shapes;
}

/**
 * Checks a checkpoint against a configuration and takes its parameters. A `module.` prefix is dropped, and the
 * positions of the image tower are resized where the checkpoint has another (square) grid.
 *
 * @param source file name for messages
 * @throws NodeError listing all missing, surplus and misshapen tensors at once
 */
export function takeState(
  tensors: ReadonlyMap<string, StoredTensor>,
  config: ClipConfig,
  source: string,
): ClipState {
  const given = new Map([...tensors].map(([name, tensor]) => [name.replace(/^module\./, ""), tensor]));
  const state = new Map<string, FloatTensor>();
  const missing: string[] = [];
  const misshapen: string[] = [];
  for (const [name, shape] of parameterShapes(config)) {
    const tensor = given.get(name);
    given.delete(name);
    if (!tensor) {
      missing.push(name);
      continue;
    }
    const fitted = fit(name, tensor, shape);
    if (fitted) state.set(name, fitted);
    else {
      misshapen.push(
        `${name} is [${tensor.shape.join(", ")}] and should be [${shape.join(", ")}]` +
          (tensor.data instanceof Float32Array ? "" : " of floats"),
      );
    }
  }
  const surplus = [...given.keys()].filter((name) => !ignored.has(name));
  if (missing.length + misshapen.length + surplus.length > 0) {
    const parts = [
      listed(missing, "missing"),
      listed(surplus, "not part of the architecture"),
      listed(misshapen, "of another shape"),
    ];
    throw new NodeError(
      `${source} does not hold the architecture asked for: ${parts.filter(Boolean).join("; ")}`,
      {
        hint: "Give the architecture the checkpoint was made with (`arch`), or leave `arch` out to read it from the checkpoint's open_clip_config.json.",
      },
    );
  }
  return state;
}

/** PyTorch layout -> compute layout: linear weights become [in, out], the patch convolution [p·p·3, width]. */
export function toComputeLayout(name: string, { shape, data }: FloatTensor): FloatTensor {
  switch (layoutOf(name)) {
    case "linear": {
      const [out = 0, inner = 0] = shape;
      return { shape: [inner, out], data: transposed(data, out, inner) };
    }
    case "convolution": {
      // [W, 3, p, p] -> [p, p, 3, W]: rows in the order in which a patch of an HWC image lies in memory.
      const [width = 0, channels = 0, height = 0, breadth = 0] = shape;
      const result = new Float32Array(data.length);
      const area = height * breadth;
      for (let w = 0, at = 0; w < width; w++) {
        for (let c = 0; c < channels; c++) {
          for (let i = 0; i < area; i++, at++) result[(i * channels + c) * width + w] = data[at] as number;
        }
      }
      return { shape: [area * channels, width], data: result };
    }
    case "same":
      return { shape, data };
  }
}

/** Compute layout -> PyTorch layout; `shape` is the parameter's PyTorch shape. */
export function toCheckpointLayout(name: string, data: Float32Array, shape: readonly number[]): FloatTensor {
  switch (layoutOf(name)) {
    case "linear": {
      const [out = 0, inner = 0] = shape;
      return { shape, data: transposed(data, inner, out) };
    }
    case "convolution": {
      const [width = 0, channels = 0, height = 0, breadth = 0] = shape;
      const result = new Float32Array(data.length);
      const area = height * breadth;
      for (let w = 0, at = 0; w < width; w++) {
        for (let c = 0; c < channels; c++) {
          for (let i = 0; i < area; i++, at++) result[at] = data[(i * channels + c) * width + w] as number;
        }
      }
      return { shape, data: result };
    }
    case "same":
      return { shape, data };
  }
}

function layoutOf(name: string): "linear" | "convolution" | "same" {
  if (name === "visual.conv1.weight") return "convolution";
  return /\.(in_proj_weight|out_proj\.weight|c_fc\.weight|c_proj\.weight)$/.test(name) ? "linear" : "same";
}

function transposed(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++) {
      result[column * rows + row] = data[at] as number;
    }
  }
  return result;
}

function fit(name: string, tensor: StoredTensor, shape: readonly number[]): FloatTensor | undefined {
  const { data } = tensor;
  if (!(data instanceof Float32Array)) return undefined;
  const same =
    tensor.shape.length === shape.length && tensor.shape.every((size, axis) => size === shape[axis]);
  // Some files hold the logit scale as one element.
  if (same || (name === "logit_scale" && elements(tensor.shape) === 1)) return { shape, data };
  if (name === "visual.positional_embedding" && tensor.shape[1] === shape[1]) {
    const from = Math.sqrt((tensor.shape[0] ?? 0) - 1);
    const to = Math.sqrt((shape[0] ?? 0) - 1);
    const width = shape[1] ?? 0;
    if (Number.isInteger(from) && from > 0)
      return { shape, data: resizePositions(data, { from, to, width }) };
  }
  return undefined;
}

function listed(names: readonly string[], what: string): string {
  if (names.length === 0) return "";
  const shown = names.slice(0, 8).join(", ");
  return `${names.length} ${what} (${shown}${names.length > 8 ? `, and ${names.length - 8} more` : ""})`;
}
