/** The golden cases of CLIP models, as the parity tests of models, gradients, training and attacks read them. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect } from "vitest";
import { viewCheckpoint } from "../../nodes/clip/checkpoint-view.ts";
import type { ClipConfig } from "../../nodes/clip/config.ts";
import { inferClipConfig } from "../../nodes/clip/infer.ts";
import { describeCheckpoint } from "../../nodes/clip/load-checkpoint.ts";
import { createClipModel } from "../../nodes/clip/model.ts";
import type { ClipModel } from "../../nodes/clip/model.ts";
import { takeState } from "../../nodes/clip/weights.ts";
import type { ClipState } from "../../nodes/clip/weights.ts";
import { loadBackend, openRuntime } from "../../nodes/compute/runtime.ts";
import type { BackendName, Runtime } from "../../nodes/compute/types.ts";
import { readSafetensors } from "../../nodes/safetensors.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";

export const golden = resolve(
  process.env["RANFLOW_GOLDEN"] ?? join(import.meta.dirname, "../../../shared/golden"),
);

export interface GoldenCase {
  readonly id: string;
  readonly files: Readonly<Record<string, string>>;
  readonly config: {
    readonly arch?: string;
    readonly act?: string;
    readonly image_size?: number;
    readonly model_case?: string;
    readonly config_json?: string;
    readonly [field: string]: unknown;
  };
  readonly tolerance: { readonly [field: string]: unknown };
}

interface GoldenIndex {
  readonly cases: readonly GoldenCase[];
}

export const hasGolden = existsSync(join(golden, "index.json"));

/** All cases of a group, for instance `models`; none where the folder is absent. */
export function goldenCases(group: string): GoldenCase[] {
  if (!hasGolden) return [];
  const index = JSON.parse(readFileSync(join(golden, "index.json"), "utf8")) as GoldenIndex;
  return index.cases.filter(({ id }) => id.startsWith(`${group}/`));
}

export function goldenJson(path: string | undefined): unknown {
  return JSON.parse(readFileSync(join(golden, path ?? ""), "utf8"));
}

/** The tensors of one of a case's files. */
export async function goldenTensors(
  { id, files }: GoldenCase,
  role: string,
): Promise<ReadonlyMap<string, StoredTensor>> {
  const path = files[role];
  if (!path) throw new Error(`case ${id} has no file ${role}`);
  return (await readSafetensors(join(golden, path))).tensors;
}

export function floats(tensors: ReadonlyMap<string, StoredTensor>, name: string): Float32Array {
  const data = tensors.get(name)?.data;
  if (!(data instanceof Float32Array)) throw new Error(`no float tensor ${name}`);
  return data;
}

/** Rows of an integer matrix. */
export function rows(tensors: ReadonlyMap<string, StoredTensor>, name: string): Int32Array[] {
  const tensor = tensors.get(name);
  const [count = 0, width = 0] = tensor?.shape ?? [];
  const { data } = tensor ?? {};
  if (!(data instanceof Int32Array)) throw new Error(`no integer tensor ${name}`);
  return Array.from({ length: count }, (_, row) => data.subarray(row * width, (row + 1) * width));
}

/** [B, C, H, W] -> [B, H, W, C]. */
export function channelsLast(data: ArrayLike<number>, [b = 0, c = 0, h = 0, w = 0]: readonly number[]) {
  const result = new Float32Array(data.length);
  for (let i = 0, at = 0; i < b; i++) {
    for (let k = 0; k < c; k++) {
      for (let p = 0; p < h * w; p++, at++) result[(i * h * w + p) * c + k] = data[at] as number;
    }
  }
  return result;
}

/** [B, H, W, C] -> [B, C, H, W]. */
export function channelsFirst(data: ArrayLike<number>, [b = 0, h = 0, w = 0, c = 0]: readonly number[]) {
  const result = new Float32Array(data.length);
  for (let i = 0, at = 0; i < b; i++) {
    for (let p = 0; p < h * w; p++) {
      for (let k = 0; k < c; k++, at++) result[(i * c + k) * h * w + p] = data[at] as number;
    }
  }
  return result;
}

/** Configuration and parameters of a case: from its `config.json`, or inferred from its tensors where it says so. */
export async function goldenState(found: GoldenCase): Promise<{ config: ClipConfig; state: ClipState }> {
  const weights = await goldenTensors(found, "weights");
  const owner = goldenCases("models").find(({ id }) => id === (found.config.model_case ?? found.id));
  const path = owner?.config.config_json ?? "";
  const view = viewCheckpoint(weights, found.id);
  const { heads_rule: inferred } = goldenJson(path) as { heads_rule?: string };
  const hints = { imageSize: found.config.image_size };
  const config =
    inferred === undefined
      ? await describeCheckpoint(view, { config: join(golden, path), preprocessor: undefined }, hints)
      : inferClipConfig(view, hints);
  return { config, state: takeState(view, config) };
}

export async function goldenModel(found: GoldenCase, runtime: Runtime): Promise<ClipModel> {
  const { config, state } = await goldenState(found);
  return createClipModel(runtime, config, state);
}

/** The backends that parity is asked of, and whether they load here. */
export const parityBackends: readonly { readonly backend: BackendName; readonly loads: boolean }[] =
  await Promise.all(
    (["tensorflow", "wasm"] as const).map(async (backend) => ({
      backend,
      loads: (await loadBackend(backend, 1)).ok,
    })),
  );

export const openBackend = (backend: BackendName): Promise<Runtime> => openRuntime({ backend, threads: 1 });

/** Expects |got - expected| <= atol + rtol·|expected| everywhere. */
export function expectClose(
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  { what, atol, rtol = 0 }: { what: string; atol: number; rtol?: number },
): void {
  expect(got.length, `${what}: number of values`).toBe(expected.length);
  let worst = 0;
  let at = 0;
  for (let i = 0; i < got.length; i++) {
    const want = expected[i] as number;
    const excess = Math.abs((got[i] as number) - want) / (atol + rtol * Math.abs(want));
    if (!(excess <= worst)) {
      worst = excess;
      at = i;
    }
  }
  expect(
    worst,
    `${what}: value ${at} is ${got[at]}, expected ${expected[at]}, tolerance ${atol}`,
  ).toBeLessThanOrEqual(1);
}
