import { readdir } from "node:fs/promises";
import { basename, dirname, extname } from "node:path";
import { vocabularyFiles } from "../text/index.ts";
import { openCheckpoint, type Checkpoint, type Container } from "./checkpoint.ts";
import { elements, type Dtype } from "./dtypes.ts";
import { recogniseModel, type Recognised } from "./recognise.ts";
import { sharedPrefix } from "./shared-prefix.ts";
import { weightFiles } from "./weight-files.ts";

/** What `ranflow model inspect` says about a checkpoint: a file, or the files of a folder taken together. */
export interface CheckpointReport {
  readonly path: string;
  readonly files: readonly FileReport[];
  readonly tensors: readonly NamedTensor[];
  /** Number of tensors by element type. */
  readonly dtypes: Readonly<Partial<Record<Dtype, number>>>;
  /** Elements of the tensors of floats. */
  readonly parameters: number;
  /** Put before all names by a wrapper, `module.`; empty where there is none. */
  readonly prefix: string;
  readonly model: Recognised | undefined;
  /** Configurations and vocabularies in the same folder. */
  readonly beside: readonly string[];
  readonly problems: readonly string[];
}

export interface NamedTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

export interface FileReport {
  readonly file: string;
  readonly container: Container;
  readonly bytes: number;
  readonly tensors: number;
  readonly wrapper: readonly string[];
  readonly beside: readonly string[];
}

const configFiles = ["open_clip_config.json", "config.json", "preprocessor_config.json"];
const besideFiles = [...configFiles, ...vocabularyFiles, "vocab.txt"];
const floats: ReadonlySet<Dtype> = new Set(["F64", "F32", "F16", "BF16"]);

/**
 * Says what a checkpoint is, from names and shapes alone unless `verify` is asked for.
 *
 * @param path a file, or a folder: of one checkpoint, of one in several files (Hugging Face, PMC-CLIP)
 * @param options.verify read every value as well: checksums, and numbers that are not finite
 * @throws NodeError where a file cannot be read, or a folder has no weights
 */
export async function inspectCheckpoint(
  path: string,
  options: { readonly verify?: boolean } = {},
): Promise<CheckpointReport> {
  const paths = await weightFiles(path);
  const files: FileReport[] = [];
  const tensors = new Map<string, NamedTensor>();
  const problems = [...missingShards(paths)];
  for (const file of paths) {
    const checkpoint = await openCheckpoint(file);
    try {
      const { container, wrapper, beside, size: bytes } = checkpoint;
      const name = basename(file);
      files.push({ file: name, container, bytes, tensors: checkpoint.tensors.size, wrapper, beside });
      if ((container === "safetensors") !== (extname(file) === ".safetensors"))
        problems.push(`${name} is ${container} by its content, whatever its name says`);
      for (const [tensor, { dtype, shape }] of checkpoint.tensors) {
        if (tensors.has(tensor)) problems.push(`${tensor} is in more than one file`);
        tensors.set(tensor, { name: tensor, dtype, shape });
      }
      if (options.verify) problems.push(...(await valueProblems(checkpoint)));
    } finally {
      await checkpoint.close();
    }
  }
  const prefix = sharedPrefix([...tensors.keys()]);
  const shapes = new Map([...tensors.values()].map(({ name, shape }) => [name.slice(prefix.length), shape]));
  const model = recogniseModel(shapes);
  if (!model) problems.push("its tensors are named as in no model that ranflow knows");
  const folder = new Set(await readdir(dirname(paths[0] ?? path)));
  return {
    path,
    files,
    tensors: [...tensors.values()],
    dtypes: countDtypes(tensors.values()),
    parameters: countParameters(tensors.values()),
    prefix,
    model,
    beside: besideFiles.filter((name) => folder.has(name)),
    problems,
  };
}

/** `model-00001-of-00003.safetensors`: says which shards are not there. */
function missingShards(paths: readonly string[]): readonly string[] {
  const names = new Set(paths.map((path) => basename(path)));
  const wanted = [...names].flatMap((name) => {
    const [, before, count, after] = /^(.*)\d{5}-of-(\d{5})(\..*)$/.exec(name) ?? [];
    return Array.from(
      { length: Number(count ?? 0) },
      (_, index) => `${before}${String(index + 1).padStart(5, "0")}-of-${count}${after}`,
    );
  });
  return [...new Set(wanted)].filter((name) => !names.has(name)).map((name) => `${name} is missing`);
}

async function valueProblems(checkpoint: Checkpoint): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const [name, { dtype }] of checkpoint.tensors) {
    const { data } = await checkpoint.read(name);
    if (!floats.has(dtype)) continue;
    let bad = 0;
    for (const value of data as Float32Array | Float64Array) if (!Number.isFinite(value)) bad += 1;
    if (bad > 0) problems.push(`${name} has ${bad} values that are not finite, of ${data.length}`);
  }
  return problems;
}

function countDtypes(tensors: Iterable<NamedTensor>): Partial<Record<Dtype, number>> {
  const counts: Partial<Record<Dtype, number>> = {};
  for (const { dtype } of tensors) counts[dtype] = (counts[dtype] ?? 0) + 1;
  return counts;
}

function countParameters(tensors: Iterable<NamedTensor>): number {
  let sum = 0;
  for (const { dtype, shape } of tensors) if (floats.has(dtype)) sum += elements(shape);
  return sum;
}
