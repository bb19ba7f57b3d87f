import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeError, type InputArtifact } from "../engine/sdk.ts";
import type { FeaturesHeader } from "./formats.ts";
import { readSafetensors, writeSafetensors, type StoredTensor } from "./safetensors.ts";

/** Feature vectors with their labels. */
export interface Features {
  readonly header: FeaturesHeader;
  /** Number of samples. */
  readonly count: number;
  /** Width of a feature vector. */
  readonly dim: number;
  /** [N, D] row-major. */
  readonly features: Float32Array;
  /** [N, K] row-major, K labels of the header: 1, 0, or -1 for unknown. */
  readonly labels: Int32Array;
}

const tensorsFile = "features.safetensors";
const headerFile = "features.json";

/**
 * Writes a `features` artifact.
 *
 * @param folder an existing empty folder
 * @param features [N, D] row-major, N ids in the header
 * @param labels [N, K] row-major
 */
export async function writeFeatures(
  folder: string,
  header: FeaturesHeader,
  features: Float32Array,
  labels: Int32Array,
): Promise<void> {
  const count = header.ids.length;
  const dim = count === 0 ? 0 : features.length / count;
  if (!Number.isInteger(dim) || labels.length !== count * header.labels.length) {
    throw new Error(
      `internal error: ${features.length} feature values and ${labels.length} labels for ${count} samples`,
    );
  }
  await writeSafetensors(join(folder, tensorsFile), [
    ["features", { shape: [count, dim], data: features }],
    ["labels", { shape: [count, header.labels.length], data: labels }],
  ]);
  await writeFile(join(folder, headerFile), `${JSON.stringify(header)}\n`);
}

/**
 * Reads a `features` artifact.
 *
 * @throws NodeError where a file is damaged, header and tensors do not fit, or a feature is not a finite number
 */
export async function readFeatures(artifact: InputArtifact): Promise<Features> {
  const { path } = artifact.file(tensorsFile);
  const { tensors } = await readSafetensors(path);
  const header = JSON.parse(await readFile(artifact.file(headerFile).path, "utf8")) as FeaturesHeader;
  const features = tensors.get("features");
  const labels = tensors.get("labels");
  const count = header.ids.length;
  if (
    !isMatrix(features, Float32Array) ||
    !isMatrix(labels, Int32Array) ||
    features.shape[0] !== count ||
    labels.shape[0] !== count ||
    labels.shape[1] !== header.labels.length
  ) {
    throw new NodeError(
      `${path} does not hold features and labels for ${count} samples with ${header.labels.length} labels`,
      { hint: "Run the step that made the features again with --force." },
    );
  }
  const bad = features.data.findIndex((value) => !Number.isFinite(value));
  const dim = features.shape[1] as number;
  if (bad >= 0) {
    throw new NodeError(
      `the features of "${header.ids[Math.floor(bad / dim)]}" (${header.dataset}, ${header.split}) are not all finite numbers`,
      {
        hint: "The model that made them may have diverged: look at its loss, and lower its learning rate.",
      },
    );
  }
  return { header, count, dim, features: features.data, labels: labels.data };
}

function isMatrix<T extends Float32Array | Int32Array>(
  tensor: StoredTensor | undefined,
  type: new () => T,
): tensor is StoredTensor & { readonly data: T } {
  return tensor !== undefined && tensor.shape.length === 2 && tensor.data instanceof type;
}
