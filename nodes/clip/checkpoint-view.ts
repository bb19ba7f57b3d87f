import { NodeError } from "../../engine/sdk.ts";
import { sharedPrefix } from "../checkpoints/shared-prefix.ts";
import type { StoredTensor } from "../safetensors.ts";
import { transposed } from "./layout.ts";
import { isIgnored, recognise } from "./naming.ts";
import type { CheckpointFormat, Place } from "./naming.ts";
import type { FloatTensor } from "./weights.ts";

/** The tensors of a checkpoint of any known format, asked for by OpenCLIP's names. */
export interface CheckpointView {
  /** File name for messages. */
  readonly source: string;
  readonly format: CheckpointFormat;
  /** The file's name or names of a tensor, whether it is there or not. */
  names(name: string): readonly string[];
  /** A tensor's shape, or undefined where the file lacks a part of it. */
  shape(name: string): readonly number[] | undefined;
  /** A tensor's values, or undefined where the file lacks a part of it or it is not of floats. */
  read(name: string): FloatTensor | undefined;
  /** Whether the file has an entry of exactly this name. */
  has(name: string): boolean;
  /** The file's names that are none of these tensors' and nothing that can be left out. */
  surplus(taken: Iterable<string>): readonly string[];
}

/**
 * Recognises the format of a checkpoint by its keys. A prefix that wrappers put before
 * all names is dropped (`module.` of torch's DataParallel).
 *
 * @throws NodeError where the keys are those of no known CLIP model
 */
export function viewCheckpoint(tensors: ReadonlyMap<string, StoredTensor>, source: string): CheckpointView {
  const prefix = sharedPrefix([...tensors.keys()]);
  const given = new Map([...tensors].map(([name, tensor]) => [name.slice(prefix.length), tensor]));
  const has = (name: string): boolean => given.has(name);
  const found = recognise(has);
  if (!found) throw unrecognised(given, source);
  const { format, naming } = found;
  const parts = (name: string): { place: Place; stored: StoredTensor[] } | undefined => {
    const place = naming(name);
    const stored = place.names.flatMap((one) => given.get(one) ?? []);
    return stored.length === place.names.length ? { place, stored } : undefined;
  };
  return {
    source,
    format,
    has,
    names: (name) => naming(name).names,
    shape(name) {
      const { place, stored } = parts(name) ?? {};
      return place && stored && joinedShape(place, stored);
    },
    read(name) {
      const { place, stored } = parts(name) ?? {};
      return place && stored && joined(place, stored);
    },
    surplus(taken) {
      const used = new Set([...taken].flatMap((name) => naming(name).names));
      return [...given.keys()].filter((name) => !used.has(name) && !isIgnored(format, name));
    },
  };
}

function joinedShape(
  { transposed: isTransposed }: Place,
  stored: readonly StoredTensor[],
): readonly number[] {
  const [first] = stored;
  const shape = first?.shape ?? [];
  if (isTransposed) return shape.toReversed();
  if (stored.length === 1) return shape;
  return [stored.reduce((rows, part) => rows + (part.shape[0] ?? 0), 0), ...shape.slice(1)];
}

function joined(place: Place, stored: readonly StoredTensor[]): FloatTensor | undefined {
  const shape = joinedShape(place, stored);
  const floats = stored.flatMap(({ data }) => {
    if (data instanceof Float64Array) return [Float32Array.from(data)];
    return data instanceof Float32Array ? [data] : [];
  });
  const [first] = floats;
  if (!first || floats.length < stored.length) return undefined;
  if (place.transposed) return { shape, data: transposed(first, shape[1] ?? 0, shape[0] ?? 0) };
  if (floats.length === 1) return { shape, data: first };
  const data = new Float32Array(floats.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of floats) {
    data.set(part, at);
    at += part.length;
  }
  return { shape, data };
}

function unrecognised(given: ReadonlyMap<string, StoredTensor>, source: string): NodeError {
  const names = [...given.keys()];
  const shown = names.slice(0, 6).join(", ");
  return new NodeError(
    names.length === 0
      ? `${source} holds no tensors`
      : `${source} is no CLIP checkpoint: its ${names.length} tensors (${shown}${names.length > 6 ? ", ..." : ""}) are named as in no known format`,
    {
      hint: "Give a checkpoint of OpenCLIP, OpenAI's CLIP, Hugging Face's CLIPModel, BiomedCLIP, PubMedCLIP or PMC-CLIP.",
    },
  );
}
