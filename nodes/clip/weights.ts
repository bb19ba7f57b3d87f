import { NodeError } from "../../engine/sdk.ts";
import { elements } from "../safetensors.ts";
import type { CheckpointView } from "./checkpoint-view.ts";
import type { ClipConfig } from "./config.ts";
import { resizePositions } from "./positions.ts";
import { stateShapes } from "./shapes.ts";

/** A float32 tensor at rest. */
export interface FloatTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The parameters of a model by OpenCLIP's names, in PyTorch's layout: what a checkpoint file holds. */
export type ClipState = ReadonlyMap<string, FloatTensor>;

/**
 * Checks a checkpoint against a configuration and takes its parameters. The positions of the image tower are resized
 * where the checkpoint has another (square) grid.
 *
 * @throws NodeError listing all missing, surplus and misshapen tensors at once, by the file's own names
 */
export function takeState(view: CheckpointView, config: ClipConfig): ClipState {
  const state = new Map<string, FloatTensor>();
  const missing: string[] = [];
  const misshapen: string[] = [];
  const shapes = stateShapes(config);
  for (const [name, shape] of shapes) {
    const given = view.shape(name);
    if (!given) {
      const names = view.names(name);
      missing.push(...(names.length > 1 ? names.filter((one) => !view.has(one)) : names));
      continue;
    }
    const tensor = view.read(name);
    const fitted = tensor && fit(name, tensor, shape);
    if (fitted) state.set(name, fitted);
    else {
      misshapen.push(
        `${view.names(name).join(" + ")} is [${given.join(", ")}] and should be [${shape.join(", ")}]` +
          (tensor ? "" : " of floats"),
      );
    }
  }
  const surplus = view.surplus(shapes.keys());
  if (missing.length + misshapen.length + surplus.length > 0) {
    const parts = [
      listed(missing, "missing"),
      listed(surplus, "not part of the architecture"),
      listed(misshapen, "of another shape"),
    ];
    throw new NodeError(
      `${view.source} does not hold the architecture asked for: ${parts.filter(Boolean).join("; ")}`,
      {
        hint: "Give the architecture the checkpoint was made with (`arch`), or leave `arch` out to read it from the checkpoint and its open_clip_config.json.",
      },
    );
  }
  return state;
}

/** Positions of image towers: a row for the class token (or the mean) in front of a square grid. */
const gridPositions = new Set([
  "visual.positional_embedding",
  "visual.trunk.pos_embed",
  "visual.attnpool.positional_embedding",
]);

function fit(
  name: string,
  { shape: given, data }: FloatTensor,
  shape: readonly number[],
): FloatTensor | undefined {
  const same = given.length === shape.length && given.every((size, axis) => size === shape[axis]);
  // Some files hold the logit scale as one element.
  if (same || (name === "logit_scale" && elements(given) === 1)) return { shape, data };
  const width = shape.at(-1) ?? 0;
  if (gridPositions.has(name) && given.length === shape.length && given.at(-1) === width) {
    const from = Math.sqrt((given.at(-2) ?? 0) - 1);
    const to = Math.sqrt((shape.at(-2) ?? 0) - 1);
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
