import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";

const weightExtensions = new Set([".safetensors", ".pt", ".pth", ".bin"]);
/** What trainers leave beside weights under the same extensions. */
const notWeights = /^(optimizer|scheduler|training_args|rng_state|scaler)/;
/** Names of whole checkpoints on the hub, best first. */
const wholeNames = [
  "open_clip_model.safetensors",
  "model.safetensors",
  "open_clip_pytorch_model.bin",
  "pytorch_model.bin",
];

/**
 * The files of weights that a path stands for: itself, or of a folder the whole checkpoint, else all its weights.
 *
 * @throws NodeError where a folder holds none
 */
export async function weightFiles(path: string): Promise<readonly string[]> {
  const info = await stat(path).catch(() => undefined);
  if (!info?.isDirectory()) return [path];
  const names = (await readdir(path))
    .filter((name) => weightExtensions.has(extname(name)) && !notWeights.test(name))
    .toSorted();
  if (names.length === 0)
    throw new NodeError(`${path} holds no weights: no .safetensors, .pt, .pth or .bin file`, {
      hint: "Give the folder or the file of a checkpoint.",
    });
  // The same weights often come in several formats; shards and PMC-CLIP's parts have other names, and belong together.
  const whole = wholeNames.find((name) => names.includes(name));
  if (whole !== undefined) return [join(path, whole)];
  const safe = names.filter((name) => name.endsWith(".safetensors"));
  return (safe.length > 0 ? safe : names).map((name) => join(path, name));
}
