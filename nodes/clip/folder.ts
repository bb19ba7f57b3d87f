import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import type { InputArtifact } from "../../engine/sdk.ts";
import { clipMean, clipStd } from "../data/normalise.ts";
import { readSafetensors, writeSafetensors } from "../safetensors.ts";
import { createClipTokenizer, readMerges } from "../text/index.ts";
import type { ClipTokenizer } from "../text/index.ts";
import { parseClipConfig } from "./config.ts";
import type { ClipConfig } from "./config.ts";
import { takeState } from "./weights.ts";
import type { ClipState } from "./weights.ts";

const weightsFile = "open_clip_model.safetensors";
const configFile = "open_clip_config.json";
const mergesFile = "merges.txt";

/** A `clip-model` artifact as read: still on the host. */
export interface StoredClip {
  readonly config: ClipConfig;
  readonly state: ClipState;
  /** Path of its BPE merges. */
  readonly merges: string;
}

/** Reads a `clip-model` artifact. @throws NodeError where a file is missing or damaged */
export async function readClipModel(artifact: InputArtifact): Promise<StoredClip> {
  const configPath = artifact.file(configFile).path;
  const weightsPath = artifact.file(weightsFile).path;
  const config = parseClipConfig(parseJson(await readFile(configPath, "utf8"), configPath), configPath);
  const { tensors } = await readSafetensors(weightsPath);
  return { config, state: takeState(tensors, config, weightsPath), merges: artifact.file(mergesFile).path };
}

/**
 * Writes a `clip-model` artifact: a checkpoint that OpenCLIP loads as well.
 *
 * @param folder an existing empty folder
 * @param model.merges path of the BPE merges to copy
 */
export async function writeClipModel(folder: string, model: StoredClip): Promise<void> {
  const config = {
    model_cfg: model.config,
    preprocess_cfg: { mean: clipMean, std: clipStd },
  };
  await writeSafetensors(join(folder, weightsFile), model.state, { format: "pt" });
  await writeFile(join(folder, configFile), `${JSON.stringify(config, undefined, 2)}\n`);
  await copyFile(model.merges, join(folder, mergesFile));
}

/** The tokeniser of a model. @throws NodeError where vocabulary and model do not fit together */
export async function openTokenizer(model: StoredClip): Promise<ClipTokenizer> {
  const { context_length: contextLength, vocab_size: vocabSize } = model.config.text_cfg;
  const tokenizer = createClipTokenizer({ merges: await readMerges(model.merges), contextLength });
  if (tokenizer.vocabSize !== vocabSize) {
    throw new NodeError(
      `the vocabulary has ${tokenizer.vocabSize} entries, the model ${vocabSize}: they do not belong together`,
      { hint: "Give the vocabulary that the checkpoint was trained with (`vocabFile`)." },
    );
  }
  return tokenizer;
}

/** Parses JSON that a user gave. @throws NodeError naming the file */
export function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new NodeError(`${source} is not valid JSON`, { cause });
  }
}
