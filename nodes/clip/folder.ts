import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import type { InputArtifact } from "../../engine/sdk.ts";
import { readSafetensors, writeSafetensors } from "../safetensors.ts";
import {
  createClipTokenizer,
  createWordPieceTokenizer,
  readMerges,
  readWordPieceVocabulary,
} from "../text/index.ts";
import type { ClipTokenizer } from "../text/index.ts";
import { viewCheckpoint } from "./checkpoint-view.ts";
import { formatClipConfig, parseClipConfig } from "./config-json.ts";
import type { ClipConfig } from "./config.ts";
import { takeState } from "./weights.ts";
import type { ClipState } from "./weights.ts";

/** The file that holds a model's weights. */
export const weightsFile = "open_clip_model.safetensors";
const configFile = "open_clip_config.json";

/** The file that holds a model's vocabulary. */
function vocabularyFile({ text_cfg: text }: ClipConfig): string {
  return text.tower === "bert" ? "vocab.txt" : "merges.txt";
}

/** A `clip-model` artifact as read: still on the host. */
export interface StoredClip {
  readonly config: ClipConfig;
  readonly state: ClipState;
  /** Path of its vocabulary: BPE merges, or for BERT its word pieces. */
  readonly vocabulary: string;
}

/** Reads a `clip-model` artifact. @throws NodeError where a file is missing or damaged */
export async function readClipModel(artifact: InputArtifact): Promise<StoredClip> {
  const configPath = artifact.file(configFile).path;
  const weightsPath = artifact.file(weightsFile).path;
  const view = viewCheckpoint((await readSafetensors(weightsPath)).tensors, weightsPath);
  const json = parseJson(await readFile(configPath, "utf8"), configPath);
  const config = parseClipConfig(json, configPath, view);
  return { config, state: takeState(view, config), vocabulary: artifact.file(vocabularyFile(config)).path };
}

/**
 * Writes a `clip-model` artifact: a checkpoint that OpenCLIP loads as well.
 *
 * @param folder an existing empty folder
 * @param model.vocabulary path of the vocabulary to copy
 */
export async function writeClipModel(folder: string, model: StoredClip): Promise<void> {
  const config = formatClipConfig(model.config);
  await writeSafetensors(join(folder, weightsFile), model.state, { format: "pt" });
  await writeFile(join(folder, configFile), `${JSON.stringify(config, undefined, 2)}\n`);
  await copyFile(model.vocabulary, join(folder, vocabularyFile(model.config)));
}

/** Turns captions into rows of ids for a model's text tower. */
export type ModelTokenizer = Pick<ClipTokenizer, "contextLength" | "vocabSize" | "encode" | "encodeBatch">;

/** The tokeniser of a model. @throws NodeError where vocabulary and model do not fit together */
export async function openTokenizer(model: Omit<StoredClip, "state">): Promise<ModelTokenizer> {
  const { text_cfg: text } = model.config;
  const { context_length: contextLength, vocab_size: vocabSize } = text;
  const tokenizer =
    text.tower === "bert"
      ? createWordPieceTokenizer({
          vocabulary: await readWordPieceVocabulary(model.vocabulary),
          contextLength,
          clean: !text.raw_text,
        })
      : createClipTokenizer({ merges: await readMerges(model.vocabulary), contextLength });
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
