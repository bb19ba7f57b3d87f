import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { normaliseRows } from "../../nodes/clip/contrastive.ts";
import { disposeClipModel, inverseTemperature } from "../../nodes/clip/model.ts";
import type { ClipModel } from "../../nodes/clip/model.ts";
import { encodeTexts, encodeTextTokens, tokenBatch } from "../../nodes/clip/text.ts";
import { encodeImages, encodeImageTokens } from "../../nodes/clip/vision.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";
import {
  channelsLast,
  expectClose,
  floats,
  goldenCases,
  goldenModel,
  goldenState,
  goldenTensors,
  isBuilt,
  openBackend,
  parityBackends,
  rows,
} from "./clip-golden.ts";

interface Tolerances {
  readonly features_atol: number;
  readonly tokens_atol: number;
  readonly normalised_atol: number;
  readonly logits_atol: number;
  readonly rtol: number;
}

const cases = goldenCases("models").filter(({ id }) => id !== "models/formats");

describe.skipIf(cases.length === 0)(
  "CLIP models match the golden cases (skipped without golden data)",
  () => {
    for (const found of cases.filter((one) => !isBuilt(one))) {
      it.skip(`${found.id}: ${found.config.arch ?? "format"} is not built yet`, () => undefined);
    }
    for (const { backend, loads } of parityBackends) {
      describe.skipIf(!loads)(`on ${backend}${loads ? "" : " (not installed)"}`, () => {
        describe.each(cases.filter(isBuilt))("$id", (found) => {
          let model: ClipModel;
          let inputs: ReadonlyMap<string, StoredTensor>;
          let expected: ReadonlyMap<string, StoredTensor>;
          let tolerance: Tolerances;
          let imageUnits = new Float32Array();
          let textUnits = new Float32Array();

          beforeAll(async () => {
            const runtime = await openBackend(backend);
            model = await goldenModel(found, runtime);
            inputs = await goldenTensors(found, "inputs");
            expected = await goldenTensors(found, "expected");
            const { strict_cpu: strict, ...loose } = found.tolerance as { strict_cpu: Tolerances };
            tolerance = runtime.provenance["device"] === "gpu" ? (loose as unknown as Tolerances) : strict;
          });
          afterAll(() => disposeClipModel(model));

          const images = () => {
            const stored = inputs.get("images") as StoredTensor;
            const [b = 0, c = 0, h = 0, w = 0] = stored.shape;
            return model.ops.tensor(channelsLast(stored.data as Float32Array, stored.shape), [b, h, w, c]);
          };
          const check = (name: string, got: ArrayLike<number>, atol: number): void => {
            if (!expected.has(name)) return;
            expectClose(got, floats(expected, name), { what: name, atol, rtol: tolerance.rtol });
          };

          it("image features and tokens", () => {
            const { ops } = model;
            ops.tidy(() => {
              const input = images();
              const { features } = encodeImages(model, input, "nothing");
              const { unit } = normaliseRows(ops, features);
              check("image_features", ops.read(features), tolerance.features_atol);
              check("image_features_norm", ops.read(unit), tolerance.normalised_atol);
              check("image_tokens", ops.read(encodeImageTokens(model, input)), tolerance.tokens_atol);
              imageUnits = Float32Array.from(ops.read(unit));
            });
            expect(expected.has("image_features_norm")).toBe(true);
          });

          it("text features and tokens", () => {
            const { ops } = model;
            const tokens = tokenBatch(rows(inputs, "ids"));
            ops.tidy(() => {
              const { features } = encodeTexts(model, tokens, "nothing");
              const { unit } = normaliseRows(ops, features);
              check("text_features", ops.read(features), tolerance.features_atol);
              check("text_features_norm", ops.read(unit), tolerance.normalised_atol);
              const all = expected.get("text_tokens");
              if (all) {
                const [batch = 0, context = 0, width = 0] = all.shape;
                const want = new Float32Array(batch * tokens.length * width);
                for (let row = 0; row < batch; row++) {
                  const from = row * context * width;
                  want.set(
                    (all.data as Float32Array).subarray(from, from + tokens.length * width),
                    row * tokens.length * width,
                  );
                }
                expectClose(ops.read(encodeTextTokens(model, tokens)), want, {
                  what: "text_tokens",
                  atol: tolerance.tokens_atol,
                  rtol: tolerance.rtol,
                });
              }
              textUnits = Float32Array.from(ops.read(unit));
            });
          });

          it("logits per image", () => {
            const scale = inverseTemperature(model);
            const width = model.config.embed_dim;
            const dot = (i: number, j: number): number => {
              let sum = 0;
              for (let k = 0; k < width; k++)
                sum += (imageUnits[i * width + k] as number) * (textUnits[j * width + k] as number);
              return sum;
            };
            const logits: number[] = [];
            for (let i = 0; i < imageUnits.length / width; i++) {
              for (let j = 0; j < textUnits.length / width; j++) logits.push(scale * dot(i, j));
            }
            check("logits_per_image", logits, tolerance.logits_atol);
          });

          it("positions resized to the image size", async () => {
            const { state } = await goldenState(found);
            check("resized_positional_embedding", state.get("visual.positional_embedding")?.data ?? [], 1e-5);
          });
        });
      });
    }
  },
);
