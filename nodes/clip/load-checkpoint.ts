import { readFile } from "node:fs/promises";
import { NodeError } from "../../engine/sdk.ts";
import { readCheckpoint } from "../checkpoints/checkpoint.ts";
import type { StoredTensor } from "../safetensors.ts";
import { viewCheckpoint } from "./checkpoint-view.ts";
import type { CheckpointView } from "./checkpoint-view.ts";
import { configProblem } from "./config.ts";
import type { ClipConfig, TextConfig, VisionConfig } from "./config.ts";
import { parseClipConfig } from "./config-json.ts";
import { parseJson } from "./folder.ts";
import { huggingFaceHints } from "./hugging-face.ts";
import { inferClipConfig } from "./infer.ts";
import type { Hints } from "./infer.ts";
import { joinPmcParts } from "./pmc-parts.ts";

/** What a user may say of a checkpoint that neither its tensors nor the files beside it do. */
export interface CheckpointParams {
  readonly quickGelu?: boolean | undefined;
  readonly imageSize?: number | undefined;
  readonly attnpoolHeads?: number | undefined;
  readonly textReadout?: "demo" | "train" | undefined;
  readonly attendPadding?: boolean | undefined;
}

/**
 * Reads a checkpoint: one file, the shards of one, or the three of PMC-CLIP.
 *
 * @throws NodeError where a file is damaged, or its keys are those of no CLIP model
 */
export async function readClipCheckpoint(paths: readonly string[]): Promise<CheckpointView> {
  const parts = await Promise.all(paths.map(async (path) => (await readCheckpoint(path)).tensors));
  const [only] = parts;
  const source = paths.join(", ");
  if (parts.length === 1 && only) return viewCheckpoint(only, source);
  const areShards = paths.every((path) => /\d{5}-of-\d{5}/.test(path));
  const joined = areShards
    ? new Map<string, StoredTensor>(parts.flatMap((part) => [...part]))
    : joinPmcParts(parts);
  if (joined) return viewCheckpoint(joined, source);
  throw new NodeError(`${source} are neither one checkpoint in shards nor the three files of PMC-CLIP`, {
    hint: "Give the path of the file to load, or the folder of PMC-CLIP's image encoder, text encoder and projection.",
  });
}

/**
 * The configuration of a checkpoint: from OpenCLIP's file beside it, or else inferred from its tensors with what
 * Hugging Face's file and the user say.
 *
 * @param files paths of `open_clip_config.json` or `config.json`, and of `preprocessor_config.json`
 * @throws NodeError where the architecture is neither stated nor can be inferred
 */
export async function describeCheckpoint(
  view: CheckpointView,
  files: { readonly config: string | undefined; readonly preprocessor: string | undefined },
  params: CheckpointParams,
): Promise<ClipConfig> {
  const read = async (path: string | undefined): Promise<unknown> =>
    path === undefined ? undefined : parseJson(await readFile(path, "utf8"), path);
  const json = await read(files.config);
  if (files.config !== undefined && isOpenClip(json)) {
    return overridden(parseClipConfig(json, files.config, view), params);
  }
  const beside =
    files.config === undefined ? {} : huggingFaceHints(json, files.config, await read(files.preprocessor));
  const { imageSize, quickGelu, attnpoolHeads } = params;
  return inferClipConfig(view, {
    ...beside,
    ...(imageSize !== undefined && { imageSize }),
    ...(quickGelu !== undefined && { quickGelu }),
    ...(attnpoolHeads !== undefined && { visionHeads: attnpoolHeads }),
    ...(view.format === "pmc-clip" && pmcHints(view, params)),
  });
}

/** Applies what the user says to a configuration. @throws NodeError where that does not go with the architecture */
export function overridden<Vision extends VisionConfig, Text extends TextConfig>(
  config: ClipConfig<Vision, Text>,
  { quickGelu, imageSize, attnpoolHeads }: CheckpointParams,
): ClipConfig<Vision, Text> {
  const { vision_cfg: vision } = config;
  const changed: ClipConfig<Vision, Text> = {
    ...config,
    quick_gelu: quickGelu ?? config.quick_gelu,
    vision_cfg: {
      ...vision,
      image_size: imageSize ?? vision.image_size,
      ...(attnpoolHeads !== undefined &&
        vision.tower === "resnet" && { head_width: (32 * vision.width) / attnpoolHeads }),
    },
  };
  const problem = configProblem(changed);
  if (problem) throw new NodeError(problem, { hint: "Give another `imageSize` or `attnpoolHeads`." });
  return changed;
}

/** PMC-CLIP's read-outs (METHOD 3.2): its demo takes BERT's pooler and 8 heads, its training code [CLS] and 32. */
function pmcHints(view: CheckpointView, params: CheckpointParams): Hints {
  const readout = params.textReadout ?? "demo";
  const isSplit = !view.has("fusion_module.resblocks.0.ln_1.weight");
  return {
    contextLength: 77,
    hfPoolerType: readout === "demo" ? "cls_pooler" : "cls_last_hidden_state_pooler",
    attendPadding: params.attendPadding ?? readout === "train",
    rawText: true,
    ...(params.attnpoolHeads === undefined && isSplit && { visionHeads: 8 }),
  };
}

function isOpenClip(json: unknown): boolean {
  return typeof json === "object" && json !== null && ("model_cfg" in json || "embed_dim" in json);
}
