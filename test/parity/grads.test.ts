import { describe, expect, it } from "vitest";
import { contrastiveLoss } from "../../nodes/clip/contrastive.ts";
import { disposeClipModel } from "../../nodes/clip/model.ts";
import { encodeTexts, encodeTextsBackward } from "../../nodes/clip/text.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { encodeImages, encodeImagesBackward } from "../../nodes/clip/vision.ts";
import { toCheckpointLayout } from "../../nodes/clip/layout.ts";
import { parameterShapes, runningShapes } from "../../nodes/clip/shapes.ts";
import type { RunningUpdates } from "../../nodes/nn/conv-norm.ts";
import type { Gradients } from "../../nodes/nn/parameters.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";
import {
  channelsFirst,
  channelsLast,
  expectClose,
  floats,
  goldenCases,
  goldenJson,
  goldenModel,
  goldenTensors,
  openBackend,
  parityBackends,
  rows,
} from "./clip-golden.ts";

interface Sample {
  readonly l2: number;
  readonly abs_max: number;
  readonly index: readonly number[];
  readonly value: readonly number[];
}

interface Summary {
  readonly loss: number;
  readonly parameters: Readonly<Record<string, Sample>>;
  readonly zero_gradient_parameters: readonly string[];
}

const cases = goldenCases("grads");

describe.skipIf(cases.length === 0)(
  "CLIP gradients match the golden cases (skipped without golden data)",
  () => {
    for (const { backend, loads } of parityBackends) {
      describe.skipIf(!loads)(`on ${backend}${loads ? "" : " (not installed)"}`, () => {
        it.each(cases)("$id: loss, parameters and pixels", async (found) => {
          const runtime = await openBackend(backend);
          const model = await goldenModel(found, runtime);
          const { ops } = model;
          const inputs = await goldenTensors(found, "inputs");
          const expected = await goldenTensors(found, "expected");
          const summary = goldenJson(found.files["summary"]) as Summary;
          const used = found.config["text_rows_used"] as number[];
          const ids = rows(inputs, "ids");
          const before = runtime.tf.memory().numTensors;

          const stored = inputs.get("images") as StoredTensor;
          const [b = 0, c = 0, h = 0, w = 0] = stored.shape;
          const pixels = ops.tensor(channelsLast(stored.data as Float32Array, stored.shape), [b, h, w, c]);
          const updates: RunningUpdates | undefined =
            found.config["bn_mode"] === "train" ? new Map() : undefined;
          const images = encodeImages(model, pixels, "all", updates);
          const texts = encodeTexts(
            model,
            tokenBatch(
              used.map((row) => ids[row] as Int32Array),
              model.config.text_cfg,
            ),
            "all",
          );
          const scale = ops.read(model.parameters.get("logit_scale")!)[0] as number;
          const result = contrastiveLoss(ops, images.features, texts.features, scale);
          const gradients: Gradients = new Map();
          const dpixels = encodeImagesBackward(model, images.saved!, result.dimages, {
            gradients,
            input: true,
          });
          encodeTextsBackward(model, texts.saved!, result.dtexts, gradients);

          expect(Math.abs(result.loss - summary.loss)).toBeLessThanOrEqual(
            found.tolerance["loss_atol"] as number,
          );
          const rtol = found.tolerance["grad_rtol"] as number;
          const atolOf = (largest: number): number => 1e-5 * largest + 1e-7;
          const largest = (values: Float32Array): number =>
            values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

          const wantPixels = floats(expected, "grad_images");
          expectClose(channelsFirst(ops.read(dpixels!), [b, h, w, c]), wantPixels, {
            what: "pixels",
            atol: atolOf(largest(wantPixels)),
            rtol,
          });
          const named = parameterShapes(model.config);
          expect([...gradients.keys(), "logit_scale"].toSorted()).toEqual([...named.keys()].toSorted());
          for (const [name, shape] of named) {
            const values = name === "logit_scale" ? undefined : ops.read(gradients.get(name)!);
            const got = values
              ? toCheckpointLayout(name, values, shape).data
              : Float32Array.of(result.dlogitScale);
            if (summary.zero_gradient_parameters.includes(name)) {
              // What both have is rounding.
              expectClose(got, new Float32Array(got.length), { what: name, atol: 1e-6 });
              continue;
            }
            const sample = summary.parameters[name];
            if (!sample) throw new Error(`golden has no gradient of ${name}`);
            const atol = atolOf(sample.abs_max);
            expectClose(
              sample.index.map((at) => got[at] as number),
              sample.value,
              { what: name, atol, rtol },
            );
            const whole = expected.get(`grad.${name}`);
            if (whole) expectClose(got, whole.data as Float32Array, { what: name, atol, rtol });
          }

          if (updates)
            expect([...updates.keys()].toSorted()).toEqual(
              [...runningShapes(model.config).keys()].toSorted(),
            );
          for (const [name, values] of updates ?? []) {
            const want = floats(expected, `bn_after.${name}`);
            expectClose(ops.read(values), want, { what: name, atol: 1e-5, rtol: 1e-4 });
          }

          ops.dispose(...(updates?.values() ?? []));
          ops.dispose(pixels, images.features, images.preProjection, texts.features, dpixels);
          ops.dispose(result.dimages, result.dtexts, ...gradients.values());
          // Constants that layers share are made once and stay.
          expect(runtime.tf.memory().numTensors - before).toBeLessThanOrEqual(12);
          disposeClipModel(model);
        });
      });
    }
  },
);
