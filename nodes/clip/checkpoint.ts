import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import { vocabularyFiles } from "../text/index.ts";

/** The files of a checkpoint, relative to the folder that holds them all. */
export interface CheckpointFiles {
  readonly root: string;
  /** One file, or the three of PMC-CLIP; none where there is no checkpoint. */
  readonly weights: readonly string[];
  /** OpenCLIP's `open_clip_config.json`, else Hugging Face's `config.json`. */
  readonly config?: string;
  /** Hugging Face's `preprocessor_config.json`. */
  readonly preprocessor?: string;
  /** Vocabulary files: which one is meant follows from the text tower. */
  readonly vocabularies: readonly string[];
}

/** Weight files by the names that OpenCLIP and the hub give them, best first. */
const weightNames = [
  "open_clip_model.safetensors",
  "model.safetensors",
  "open_clip_pytorch_model.bin",
  "pytorch_model.bin",
];

const isWeights = (name: string): boolean => /\.(safetensors|pt|pth|bin)$/.test(name);

/** How PMC-CLIP's three files are called, whatever stands behind it. */
const pmcParts = ["image_encoder", "text_encoder", "text_projection"];

/** BERT's word pieces, one on each line. */
export const wordPieceFile = "vocab.txt";

/**
 * Finds the files of a checkpoint and a vocabulary.
 *
 * @param checkpoint a file of safetensors or PyTorch or a folder that holds one, or PMC-CLIP's three
 * @param vocabFile a vocabulary elsewhere
 * @param wantVocabulary look for a vocabulary beside the checkpoint where `vocabFile` is absent
 * @throws NodeError where a path is missing, or a folder holds no or several weight files
 */
export async function findCheckpoint({
  checkpoint,
  vocabFile,
  wantVocabulary,
}: {
  checkpoint: string | undefined;
  vocabFile: string | undefined;
  wantVocabulary: boolean;
}): Promise<CheckpointFiles> {
  let weights: readonly string[] = [];
  let config: string | undefined;
  let preprocessor: string | undefined;
  let vocabularies = vocabFile === undefined ? [] : [resolve(vocabFile)];
  if (checkpoint) {
    weights = await findWeights(resolve(checkpoint));
    const folder = dirname(weights[0] as string);
    const beside = new Set(await readdir(folder));
    const find = (names: readonly string[]): string[] =>
      names.filter((name) => beside.has(name)).map((name) => join(folder, name));
    [config] = find(["open_clip_config.json", "config.json"]);
    [preprocessor] = find(["preprocessor_config.json"]);
    if (vocabFile === undefined && wantVocabulary) {
      vocabularies = [...find(vocabularyFiles).slice(0, 1), ...find([wordPieceFile])];
    }
  }
  for (const vocabulary of vocabularies) {
    if (await isFile(vocabulary)) continue;
    throw new NodeError(`there is no vocabulary file ${vocabulary}`, {
      hint: "Give a merges.txt, tokenizer.json or bpe_simple_vocab_16e6.txt.gz, for BERT a vocab.txt.",
    });
  }
  const root = commonFolder([config, preprocessor, ...weights, ...vocabularies].filter(isString));
  const name = (path: string): string => relative(root, path).split(sep).join("/");
  return {
    root,
    weights: weights.map(name),
    vocabularies: vocabularies.map(name),
    ...(config !== undefined && { config: name(config) }),
    ...(preprocessor !== undefined && { preprocessor: name(preprocessor) }),
  };
}

function isString(value: string | undefined): value is string {
  return value !== undefined;
}

async function findWeights(path: string): Promise<readonly string[]> {
  const info = await stat(path).catch(() => undefined);
  if (!info) {
    throw new NodeError(`there is no checkpoint ${path}`, {
      hint: "Give a file of weights or the folder that holds it; paths start from the pipeline's folder.",
    });
  }
  if (!info.isDirectory()) return [path];
  const names = (await readdir(path)).filter(isWeights).toSorted();
  const known = weightNames.find((name) => names.includes(name));
  if (known) return [join(path, known)];
  const parts = pmcParts.flatMap((part) => names.find((name) => name.startsWith(part)) ?? []);
  if (parts.length === pmcParts.length) return parts.map((name) => join(path, name));
  const [only] = names;
  if (names.length === 1 && only) return [join(path, only)];
  throw new NodeError(
    names.length === 0
      ? `${path} holds no weights: no .safetensors, .pt, .pth or .bin file`
      : `${path} holds several files of weights: ${names.join(", ")}`,
    { hint: "Give the path of the one to load." },
  );
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

/** The deepest folder that holds all files. */
function commonFolder(paths: readonly string[]): string {
  const [first = "", ...others] = paths;
  let folder = basename(first) === "" ? first : dirname(first);
  while (others.some((path) => !path.startsWith(folder.endsWith(sep) ? folder : folder + sep))) {
    folder = dirname(folder);
  }
  return folder;
}
