import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { NodeError } from "../../engine/sdk.ts";
import { vocabularyFiles } from "../text/index.ts";

/** The files of an OpenCLIP checkpoint, relative to the folder that holds them all. */
export interface CheckpointFiles {
  readonly root: string;
  readonly weights?: string;
  readonly config?: string;
  readonly vocabulary?: string;
}

/** Weight files by the names that OpenCLIP and the hub give them, best first. */
const weightNames = ["open_clip_model.safetensors", "model.safetensors"];

/**
 * Finds the files of a checkpoint and a vocabulary.
 *
 * @param checkpoint a `.safetensors` file or a folder that holds one
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
  let weights: string | undefined;
  let config: string | undefined;
  let vocabulary = vocabFile && resolve(vocabFile);
  if (checkpoint) {
    weights = await findWeights(resolve(checkpoint));
    const folder = dirname(weights);
    const beside = new Set(await readdir(folder));
    if (beside.has("open_clip_config.json")) config = join(folder, "open_clip_config.json");
    const found = vocabularyFiles.find((name) => beside.has(name));
    if (!vocabulary && wantVocabulary && found) vocabulary = join(folder, found);
  }
  if (vocabulary && !(await isFile(vocabulary))) {
    throw new NodeError(`there is no vocabulary file ${vocabulary}`, {
      hint: "Give a merges.txt, tokenizer.json or bpe_simple_vocab_16e6.txt.gz.",
    });
  }
  const all = [weights, config, vocabulary].filter((path) => path !== undefined);
  const root = commonFolder(all);
  const name = (path: string): string => relative(root, path).split(sep).join("/");
  return {
    root,
    ...(weights && { weights: name(weights) }),
    ...(config && { config: name(config) }),
    ...(vocabulary && { vocabulary: name(vocabulary) }),
  };
}

async function findWeights(path: string): Promise<string> {
  const info = await stat(path).catch(() => undefined);
  if (!info) {
    throw new NodeError(`there is no checkpoint ${path}`, {
      hint: "Give a .safetensors file or the folder that holds it; paths start from the pipeline's folder.",
    });
  }
  if (!info.isDirectory()) return path;
  const names = (await readdir(path)).filter((name) => name.endsWith(".safetensors")).toSorted();
  const known = weightNames.find((name) => names.includes(name));
  if (known) return join(path, known);
  const [only] = names;
  if (names.length === 1 && only) return join(path, only);
  throw new NodeError(
    names.length === 0
      ? `${path} holds no .safetensors file`
      : `${path} holds several .safetensors files: ${names.join(", ")}`,
    {
      hint:
        names.length === 0
          ? "Only safetensors weights are read; convert a PyTorch .bin or .pt file first."
          : "Give the path of the one to load.",
    },
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
