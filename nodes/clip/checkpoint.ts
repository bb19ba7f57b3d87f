import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import { weightFiles } from "../checkpoints/weight-files.ts";
import { vocabularyFiles } from "../text/merges.ts";
import { wordPieceFiles } from "../text/wordpiece-vocabulary.ts";

/** The files of a checkpoint, relative to the folder that holds them all. */
export interface CheckpointFiles {
  readonly root: string;
  /** One file, its shards, or the three of PMC-CLIP; none where there is no checkpoint. */
  readonly weights: readonly string[];
  /** OpenCLIP's `open_clip_config.json`, else Hugging Face's `config.json`. */
  readonly config?: string;
  /** Hugging Face's `preprocessor_config.json`. */
  readonly preprocessor?: string;
  /** Vocabulary files: which one is meant follows from the text tower. */
  readonly vocabularies: readonly string[];
}

/**
 * Finds the files of a checkpoint and a vocabulary.
 *
 * @param checkpoint a file of weights or a folder that holds them
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
      vocabularies = [
        ...new Set([...find(vocabularyFiles).slice(0, 1), ...find(wordPieceFiles).slice(0, 1)]),
      ];
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
  return weightFiles(path);
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
