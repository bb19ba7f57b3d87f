import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeError, type InputArtifact } from "../../engine/sdk.ts";
import { transposed } from "../clip/layout.ts";
import type { FusionHeader } from "../formats.ts";
import { readHead, writeHead, type StoredHead } from "../heads/head.ts";
import type { Ops, Tensor } from "../nn/ops.ts";
import { randomStream } from "../random.ts";
import { elements, readSafetensors, writeSafetensors, type StoredTensor } from "../safetensors.ts";
import { fusionShapes, isTransposed, type FusionConfig } from "./fusion-config.ts";

/** A fusion's parameters in compute layout, on the host: matrices are [in, out]. */
export type FusionValues = ReadonlyMap<string, Float32Array>;

/** A `vqa-model` artifact as read. */
export interface StoredVqaModel {
  readonly fusion: { readonly header: FusionHeader; readonly values: FusionValues };
  /** Its labels are the answers. */
  readonly head: StoredHead;
}

const weightsFile = "fusion.safetensors";
const headerFile = "fusion.json";

/** Initial parameters as METER has them: matrices and tables from N(0, 0.02), norms one, biases zero. METHOD 9. */
export function initialFusion(config: FusionConfig, seed: number): FusionValues {
  const values = new Map<string, Float32Array>();
  for (const [name, shape] of fusionShapes(config)) {
    const data = new Float32Array(elements(shape));
    if (name.endsWith("LayerNorm.weight")) data.fill(1);
    if (shape.length === 2) {
      const random = randomStream(seed, "fusion-init", name);
      for (let i = 0; i < data.length; i++) data[i] = 0.02 * random.normal();
    }
    values.set(name, data);
  }
  return values;
}

/** Shape of a parameter in compute layout. */
export function computeShape(name: string, shape: readonly number[]): readonly number[] {
  return isTransposed(name, shape) ? shape.toReversed() : shape;
}

/** Puts a fusion's parameters on a backend. Free them with `ops.dispose`. */
export function uploadFusion(ops: Ops, config: FusionConfig, values: FusionValues): Map<string, Tensor> {
  const { tf } = ops.runtime;
  return new Map(
    [...fusionShapes(config)].map(([name, shape]) => [
      name,
      tf.keep(ops.tensor(values.get(name)!, computeShape(name, shape))),
    ]),
  );
}

/** Writes a `vqa-model` artifact into an existing empty folder. */
export async function writeVqaModel(folder: string, { fusion, head }: StoredVqaModel): Promise<void> {
  await writeHead(folder, head);
  const stored = [...fusionShapes(fusion.header)].map(([name, shape]): [string, StoredTensor] => {
    const [out = 0, inner = 0] = shape;
    const data = fusion.values.get(name)!;
    return [name, { shape, data: isTransposed(name, shape) ? transposed(data, inner, out) : data }];
  });
  await writeSafetensors(join(folder, weightsFile), stored);
  await writeFile(join(folder, headerFile), `${JSON.stringify(fusion.header)}\n`);
}

/** Reads a `vqa-model` artifact. @throws NodeError where a file is damaged */
export async function readVqaModel(artifact: InputArtifact): Promise<StoredVqaModel> {
  const header = JSON.parse(await readFile(artifact.file(headerFile).path, "utf8")) as FusionHeader;
  const { path } = artifact.file(weightsFile);
  const { tensors } = await readSafetensors(path);
  const values = new Map<string, Float32Array>();
  for (const [name, shape] of fusionShapes(header)) {
    const found = tensors.get(name);
    if (!(found?.data instanceof Float32Array) || found.shape.join() !== shape.join()) {
      throw new NodeError(`${path}: tensor "${name}" is not [${shape.join(", ")}]`, {
        hint: "The file is damaged: train the model again with --force.",
      });
    }
    const [out = 0, inner = 0] = shape;
    values.set(name, isTransposed(name, shape) ? transposed(found.data, out, inner) : found.data);
  }
  return { fusion: { header, values }, head: await readHead(artifact) };
}
