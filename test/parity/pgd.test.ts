import { describe, expect, it } from "vitest";
import { attackGradient } from "../../nodes/attack/attack-loss.ts";
import { clipAttackEncoder } from "../../nodes/attack/clip-encoder.ts";
import { pgd } from "../../nodes/attack/pgd.ts";
import type { PgdOptions } from "../../nodes/attack/pgd.ts";
import { toPng8 } from "../../nodes/attack/pixels.ts";
import { disposeClipModel } from "../../nodes/clip/model.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";
import {
  channelsFirst,
  channelsLast,
  expectClose,
  floats,
  goldenCases,
  goldenModel,
  goldenTensors,
  openBackend,
  parityBackends,
} from "./clip-golden.ts";

interface Config {
  readonly loss: PgdOptions["loss"];
  readonly norm: PgdOptions["norm"];
  readonly eps: number;
  readonly alpha: number;
  readonly steps: number;
  readonly saved_steps: readonly number[];
  readonly box_clip: PgdOptions["boxClip"];
  readonly tau: number | null;
}

interface Tolerance {
  readonly cos_atol: number;
  readonly x_adv_atol: number | Readonly<Record<string, number>>;
  readonly x_adv_max_mismatch_fraction?: Readonly<Record<string, number>>;
  readonly png_max_mismatch_fraction: number;
  readonly grad0_rtol: number;
}

const cases = goldenCases("pgd");

describe.skipIf(cases.length === 0)("PGD matches the golden attacks (skipped without golden data)", () => {
  for (const { backend, loads } of parityBackends) {
    describe.skipIf(!loads)(`on ${backend}${loads ? "" : " (not installed)"}`, () => {
      it.each(cases)("$id", async (found) => {
        const config = found.config as unknown as Config;
        const tolerance = found.tolerance as unknown as Tolerance;
        const model = await goldenModel(found, await openBackend(backend));
        const { ops } = model;
        const encoder = clipAttackEncoder(model);
        const inputs = await goldenTensors(found, "inputs");
        const expected = await goldenTensors(found, "expected");
        const { shape } = inputs.get("x_clean_u8") as StoredTensor;
        const [b = 0, c = 0, h = 0, w = 0] = shape;
        const images = (name: string) => {
          const bytes = channelsLast(inputs.get(name)?.data as Uint8Array, shape);
          return ops.tensor(
            bytes.map((value) => value / 255),
            [b, h, w, c],
          );
        };
        const clean = images("x_clean_u8");
        const target = images("x_target_u8");
        const targets = ops.tidy(() => Float32Array.from(ops.read(encoder.encode(target))));
        expectClose(targets, floats(expected, "target_features"), {
          what: "target features",
          atol: 1e-4,
          rtol: 1e-4,
        });

        if (config.loss === "embed_cos") {
          const grad0 = ops.tidy(() => {
            const pass = encoder.forward(clean);
            const { gradient } = attackGradient("embed_cos", {
              features: ops.read(pass.features),
              targets,
              batch: b,
              tau: 1,
            });
            return Float32Array.from(ops.read(pass.backward(ops.tensor(gradient, pass.features.shape))));
          });
          const want = floats(expected, "grad0");
          const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          expectClose(channelsFirst(grad0, [b, h, w, c]), want, {
            what: "grad0",
            atol: 1e-5 * largest,
            rtol: tolerance.grad0_rtol,
          });
        }

        for (const steps of config.saved_steps) {
          const { images: adversarial, cosines } = await pgd(
            ops,
            encoder,
            { clean, targets },
            {
              loss: config.loss,
              norm: config.norm,
              eps: config.eps,
              alpha: config.alpha,
              steps,
              boxClip: config.box_clip,
              tau: config.tau ?? 1,
            },
          );
          const wantCosines = floats(expected, "cos");
          cosines.slice(0, steps).forEach((row, step) =>
            expectClose(row, wantCosines.subarray(step * b, (step + 1) * b), {
              what: `cosines before update ${step}`,
              atol: tolerance.cos_atol,
            }),
          );
          const got = channelsFirst(adversarial, [b, h, w, c]);
          const want = floats(expected, `x_adv_${steps}`);
          const atol =
            typeof tolerance.x_adv_atol === "number"
              ? tolerance.x_adv_atol
              : (tolerance.x_adv_atol[steps] as number);
          const allowed = tolerance.x_adv_max_mismatch_fraction?.[steps] ?? 0;
          expect(
            mismatches(got, want, atol) / got.length,
            `pixels that differ after ${steps} steps`,
          ).toBeLessThanOrEqual(allowed);
          if (steps !== config.steps) continue;
          expectClose(cosines.at(-1) as Float32Array, wantCosines.subarray(steps * b), {
            what: "final cosines",
            atol: tolerance.cos_atol,
          });
          const bytes = channelsFirst(toPng8(adversarial), [b, h, w, c]);
          const wantBytes = expected.get("x_adv_png_u8")?.data as Uint8Array;
          expect(mismatches(bytes, wantBytes, 0) / bytes.length).toBeLessThanOrEqual(
            tolerance.png_max_mismatch_fraction,
          );
        }
        ops.dispose(clean, target);
        disposeClipModel(model);
      });
    });
  }
});

function mismatches(got: ArrayLike<number>, want: ArrayLike<number>, atol: number): number {
  let count = 0;
  for (let i = 0; i < want.length; i++) {
    if (!(Math.abs((got[i] as number) - (want[i] as number)) <= atol)) count++;
  }
  return count;
}
