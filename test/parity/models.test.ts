import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { normaliseRows } from "../../nodes/clip/contrastive.ts";
import { disposeClipModel, inverseTemperature } from "../../nodes/clip/model.ts";
import type { ClipModel } from "../../nodes/clip/model.ts";
import { encodeTexts, encodeTextTokens } from "../../nodes/clip/text.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { encodeImages, encodeImageTokens } from "../../nodes/clip/vision.ts";
import type { Tensor } from "../../nodes/nn/ops.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";
import {
  channelsFirst,
  channelsLast,
  expectClose,
  floats,
  goldenCases,
  goldenModel,
  goldenState,
  goldenTensors,
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

/** PMC-CLIP has tests of its own, and the container formats have no model. */
const cases = goldenCases("models").filter(({ files }) => files["weights"] && !files["image_encoder"]);

describe.skipIf(cases.length === 0)(
  "CLIP models match the golden cases (skipped without golden data)",
  () => {
    for (const { backend, loads } of parityBackends) {
      describe.skipIf(!loads)(`on ${backend}${loads ? "" : " (not installed)"}`, () => {
        describe.each(cases)("$id", (found) => {
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
          /** In the layout of the golden file: a ResNet's map has its channels first. */
          const imageTokens = (input: Tensor): Float32Array => {
            const tokens = encodeImageTokens(model, input);
            const values = model.ops.read(tokens);
            const [b = 0, c = 0, h = 0, w] = expected.get("image_tokens")?.shape ?? [];
            return w === undefined ? values : channelsFirst(values, [b, h, w, c]);
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
              check("image_tokens", imageTokens(input), tolerance.tokens_atol);
              imageUnits = Float32Array.from(ops.read(unit));
            });
            expect(expected.has("image_features_norm")).toBe(true);
          });

          it("text features and tokens", () => {
            const { ops } = model;
            const tokens = tokenBatch(rows(inputs, "ids"), model.config.text_cfg);
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
