import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeError, type InputArtifact } from "../../engine/sdk.ts";
import type { HeadHeader } from "../formats.ts";
import { randomStream } from "../random.ts";
import { readSafetensors, writeSafetensors, type StoredTensor } from "../safetensors.ts";
import { transpose } from "./matrix.ts";

/** The architecture of a head: a linear probe, or an MLP before it. METHOD 8.1. */
export interface HeadShape {
  /** Width of a feature vector. */
  readonly dim: number;
  /** Width of the MLP's hidden layer; 0 for a linear probe. */
  readonly hidden: number;
  /** Z = s * M(F) + F with a trained scale s per feature, in place of Z = M(F). */
  readonly residual: boolean;
  readonly batchNorm: boolean;
  /** METER's own head in place of the linear one: Linear, LayerNorm, GELU and Linear. METHOD 9. */
  readonly meter?: boolean;
  /** Number of labels. */
  readonly outputs: number;
}

/** A head's trained tensors and batch norm statistics, by PyTorch name. Linear weights are [in, out] here. */
export type HeadWeights = ReadonlyMap<string, Float32Array>;

const statistics = new Set(["mlp.1.running_mean", "mlp.1.running_var"]);

/** True for what the optimiser trains, false for running statistics. */
export function isTrained(name: string): boolean {
  return !statistics.has(name);
}

/** Names and shapes of a head's tensors, Linear weights as [in, out]. */
export function headTensors(shape: HeadShape): ReadonlyMap<string, readonly number[]> {
  const { dim, hidden, outputs } = shape;
  const tensors: [string, readonly number[]][] = [];
  if (shape.meter) {
    tensors.push(["mlp.0.weight", [dim, dim]], ["mlp.0.bias", [dim]]);
    tensors.push(["mlp.1.weight", [dim]], ["mlp.1.bias", [dim]]);
  }
  if (hidden > 0) {
    tensors.push(["mlp.0.weight", [dim, hidden]], ["mlp.0.bias", [hidden]]);
    if (shape.batchNorm) {
      for (const name of ["weight", "bias", "running_mean", "running_var"])
        tensors.push([`mlp.1.${name}`, [hidden]]);
    }
    tensors.push(["mlp.3.weight", [hidden, dim]], ["mlp.3.bias", [dim]]);
    if (shape.residual) tensors.push(["scale", [dim]]);
  }
  tensors.push(["classifier.weight", [dim, outputs]], ["classifier.bias", [outputs]]);
  return new Map(tensors);
}

/**
 * Initial weights: the classifier Kaiming-uniform with bound sqrt(6 / d) and zero bias, the MLP's layers as torch's
 * Linear with bound 1 / sqrt(in), scales and norm weights one; METER's matrices are from N(0, 0.02), as it has them. Each tensor has its own stream, so that all
 * methods start from the same classifier. METHOD 8.1.
 */
export function initialWeights(shape: HeadShape, seed: number): Map<string, Float32Array> {
  const weights = new Map<string, Float32Array>();
  for (const [name, [first = 0, second = 1]] of headTensors(shape)) {
    const random = randomStream(seed, "head-init", name);
    const uniform = (bound: number): Float32Array => {
      const data = new Float32Array(first * second);
      random.uniform(data, bound);
      return data;
    };
    const normal = (): Float32Array =>
      Float32Array.from({ length: first * second }, () => 0.02 * random.normal());
    const isMetersMatrix = shape.meter === true && name.endsWith(".weight") && name !== "mlp.1.weight";
    weights.set(name, isMetersMatrix ? normal() : initialTensor(name, shape, first, uniform));
  }
  return weights;
}

function initialTensor(
  name: string,
  { dim, hidden }: HeadShape,
  length: number,
  uniform: (bound: number) => Float32Array,
): Float32Array {
  switch (name) {
    case "classifier.weight":
      return uniform(Math.sqrt(6 / dim));
    case "mlp.0.weight":
    case "mlp.0.bias":
      return uniform(1 / Math.sqrt(dim));
    case "mlp.3.weight":
    case "mlp.3.bias":
      return uniform(1 / Math.sqrt(hidden));
    case "mlp.1.weight":
    case "mlp.1.running_var":
    case "scale":
      return new Float32Array(length).fill(1);
    default:
      return new Float32Array(length);
  }
}

/** Weights between PyTorch's layout of Linear weights [out, in] and ours [in, out], in either direction. */
export function toStored(weights: HeadWeights, shape: HeadShape): [string, StoredTensor][] {
  return [...headTensors(shape)].map(([name, [first = 0, second]]) => {
    const data = weights.get(name) as Float32Array;
    if (second === undefined) return [name, { shape: [first], data }];
    return [name, { shape: [second, first], data: transpose({ rows: first, cols: second, data }).data }];
  });
}

/**
 * Weights from tensors in PyTorch's layout.
 *
 * @param where names the file in messages
 * @throws NodeError where a tensor is missing or of another shape
 */
export function fromStored(
  tensors: ReadonlyMap<string, StoredTensor>,
  shape: HeadShape,
  where: string,
): Map<string, Float32Array> {
  const weights = new Map<string, Float32Array>();
  for (const [name, [first = 0, second]] of headTensors(shape)) {
    const wanted = second === undefined ? [first] : [second, first];
    const tensor = tensors.get(name);
    if (!tensor || !(tensor.data instanceof Float32Array) || tensor.shape.join() !== wanted.join()) {
      const found = tensor ? `[${tensor.shape.join(", ")}]` : "missing";
      throw new NodeError(`${where}: tensor "${name}" should be [${wanted.join(", ")}] and is ${found}`, {
        hint: "The head was written for another architecture, or its file is damaged: train it again.",
      });
    }
    const { data } = tensor;
    weights.set(
      name,
      second === undefined ? data.slice() : transpose({ rows: second, cols: first, data }).data,
    );
  }
  return weights;
}

/** A head as an artifact holds it. */
export interface StoredHead {
  readonly header: HeadHeader;
  readonly shape: HeadShape;
  readonly weights: HeadWeights;
}

/** Writes a `head` artifact into an existing empty folder. */
export async function writeHead(
  folder: string,
  head: StoredHead,
  extra: readonly (readonly [string, StoredTensor])[] = [],
): Promise<void> {
  await writeSafetensors(join(folder, "head.safetensors"), [...toStored(head.weights, head.shape), ...extra]);
  await writeFile(join(folder, "head.json"), `${JSON.stringify(head.header)}\n`);
}

/** Reads a `head` artifact. */
export async function readHead(artifact: InputArtifact): Promise<StoredHead> {
  const header = JSON.parse(await readFile(artifact.file("head.json").path, "utf8")) as HeadHeader;
  const { path } = artifact.file("head.safetensors");
  const shape: HeadShape = {
    dim: header.dim,
    hidden: header.hidden,
    residual: header.residual,
    batchNorm: header.batchNorm,
    ...(header.meter === true && { meter: true }),
    outputs: header.labels.length,
  };
  const { tensors } = await readSafetensors(path);
  return { header, shape, weights: fromStored(tensors, shape, path) };
}
