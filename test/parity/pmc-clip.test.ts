import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { normaliseRows } from "../../nodes/clip/contrastive.ts";
import { describeCheckpoint, readClipCheckpoint } from "../../nodes/clip/load-checkpoint.ts";
import type { CheckpointParams } from "../../nodes/clip/load-checkpoint.ts";
import { createClipModel, disposeClipModel, inverseTemperature } from "../../nodes/clip/model.ts";
import type { ClipModel } from "../../nodes/clip/model.ts";
import { encodeTexts, encodeTextTokens } from "../../nodes/clip/text.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { encodeImages, encodeImageTokens } from "../../nodes/clip/vision.ts";
import { takeState } from "../../nodes/clip/weights.ts";
import type { Runtime } from "../../nodes/compute/types.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";
import {
  channelsFirst,
  channelsLast,
  expectClose,
  floats,
  golden,
  goldenCases,
  goldenJson,
  goldenTensors,
  openBackend,
  parityBackends,
  rows,
} from "./clip-golden.ts";
import type { GoldenCase } from "./clip-golden.ts";

const cases = goldenCases("models").filter(({ files }) => files["image_encoder"]);

/** The checkpoint as one file, and as PMC-CLIP's three. */
const layouts = [["weights"], ["image_encoder", "text_encoder", "text_projection"]] as const;

/** BERT's heads show in no tensor: they come from a Hugging Face configuration beside the checkpoint. */
async function bertConfig({ files }: GoldenCase): Promise<string> {
  const { bert_config } = goldenJson(files["config"]) as { bert_config: Record<string, unknown> };
  const path = join(await mkdtemp(join(tmpdir(), "ranflow-pmc-")), "config.json");
  await writeFile(path, JSON.stringify({ model_type: "bert", ...bert_config }));
  return path;
}

async function openModel(
  runtime: Runtime,
  found: GoldenCase,
  roles: readonly string[],
  params: CheckpointParams,
): Promise<ClipModel> {
  const view = await readClipCheckpoint(roles.map((role) => join(golden, found.files[role] ?? "")));
  const config = await describeCheckpoint(
    view,
    { config: await bertConfig(found), preprocessor: undefined },
    params,
  );
  return createClipModel(runtime, config, takeState(view, config));
}

describe.skipIf(cases.length === 0)("PMC-CLIP matches the golden cases (skipped without golden data)", () => {
  for (const { backend, loads } of parityBackends) {
    describe.skipIf(!loads)(`on ${backend}${loads ? "" : " (not installed)"}`, () => {
      for (const roles of layouts) {
        it.each(cases)(`$id from ${roles.join(", ")}`, async (found) => {
          const runtime = await openBackend(backend);
          const inputs = await goldenTensors(found, "inputs");
          const expected = await goldenTensors(found, "expected");
          const { strict_cpu: strict } = found.tolerance as { strict_cpu: Record<string, number> };
          const seen = new Set<string>();
          const check = (name: string, got: ArrayLike<number>, atol: number | undefined): void => {
            seen.add(name);
            expectClose(got, floats(expected, name), { what: name, atol: atol ?? 0 });
          };
          const numbersIn = (pattern: RegExp) =>
            [...expected.keys()].flatMap((name) => pattern.exec(name) ?? []);

          const imageUnits = new Map<number, Float32Array>();
          const stored = inputs.get("images") as StoredTensor;
          const [b = 0, c = 0, h = 0, w = 0] = stored.shape;
          const pixels = channelsLast(stored.data as Float32Array, stored.shape);
          for (const heads of numbersIn(/(?<=^image_features_attnpool_heads)\d+$/).map(Number)) {
            const model = await openModel(runtime, found, roles, { attnpoolHeads: heads });
            const { ops } = model;
            ops.tidy(() => {
              const images = ops.tensor(pixels, [b, h, w, c]);
              const { features } = encodeImages(model, images, "nothing");
              check(`image_features_attnpool_heads${heads}`, ops.read(features), strict["features_atol"]);
              imageUnits.set(heads, Float32Array.from(ops.read(normaliseRows(ops, features).unit)));
              const [, channels = 0, height = 0, width = 0] = expected.get("image_feature_map")?.shape ?? [];
              const map = ops.read(encodeImageTokens(model, images));
              check(
                "image_feature_map",
                channelsFirst(map, [b, height, width, channels]),
                strict["tokens_atol"],
              );
            });
            disposeClipModel(model);
          }

          for (const textReadout of ["train", "demo"] as const) {
            for (const attendPadding of [false, true]) {
              const suffix = `${textReadout}_${attendPadding ? "nomask" : "masked"}`;
              const model = await openModel(runtime, found, roles, { textReadout, attendPadding });
              const { ops } = model;
              const ids = rows(inputs, "ids");
              const tokens = tokenBatch(ids, model.config.text_cfg);
              const units = ops.tidy(() => {
                const { features } = encodeTexts(model, tokens, "nothing");
                check(`text_features_${suffix}`, ops.read(features), strict["features_atol"]);
                return Float32Array.from(ops.read(normaliseRows(ops, features).unit));
              });
              const all = ops.tidy(() => Float32Array.from(ops.read(encodeTextTokens(model, tokens))));
              expectTokens(all, expected, {
                name: `text_tokens_${attendPadding ? "nomask" : "masked"}`,
                length: tokens.length,
                atol: strict["tokens_atol"] ?? 0,
              });
              for (const [heads, images] of imageUnits) {
                const name = `logits_${textReadout}${heads}_${attendPadding ? "nomask" : "masked"}`;
                if (!expected.has(name)) continue;
                const scale = inverseTemperature(model);
                check(name, products(images, units, b, ids.length, scale), strict["logits_atol"]);
              }
              disposeClipModel(model);
            }
          }
          expect([...seen].filter((name) => name.startsWith("text_features"))).toHaveLength(4);
          expect(imageUnits.size).toBeGreaterThan(0);
        });
      }
    });
  }
});

/** Compares the tokens that were kept: the columns up to the longest text. */
function expectTokens(
  got: Float32Array,
  expected: ReadonlyMap<string, StoredTensor>,
  { name, length, atol }: { name: string; length: number; atol: number },
): void {
  const [batch = 0, context = 0, width = 0] = expected.get(name)?.shape ?? [];
  const want = new Float32Array(batch * length * width);
  for (let row = 0; row < batch; row++) {
    const from = row * context * width;
    want.set(floats(expected, name).subarray(from, from + length * width), row * length * width);
  }
  expectClose(got, want, { what: name, atol });
}

/** scale · ⟨image i, text j⟩, row by row. */
function products(
  images: Float32Array,
  texts: Float32Array,
  rowCount: number,
  columnCount: number,
  scale: number,
): number[] {
  const width = images.length / rowCount;
  return Array.from({ length: rowCount * columnCount }, (_, at) => {
    const [i, j] = [Math.floor(at / columnCount), at % columnCount];
    const image = images.subarray(i * width, (i + 1) * width);
    return scale * image.reduce((sum, value, k) => sum + value * (texts[j * width + k] as number), 0);
  });
}
