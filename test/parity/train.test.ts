import { describe, expect, it } from "vitest";
import { createOptimizer, isDecayed, learningRateAt } from "../../nodes/clip/optimizer.ts";
import { disposeClipModel, modelState } from "../../nodes/clip/model.ts";
import { createClipModel } from "../../nodes/clip/model.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { trainStep } from "../../nodes/clip/train-step.ts";
import { parameterShapes } from "../../nodes/clip/shapes.ts";
import { normaliseRgb } from "../../nodes/data/normalise.ts";
import {
  channelsLast,
  goldenCases,
  goldenJson,
  goldenState,
  goldenTensors,
  openBackend,
  parityBackends,
  rows,
} from "./clip-golden.ts";

interface Sample {
  readonly index: readonly number[];
  readonly value: readonly number[];
}

interface Curve {
  readonly steps: number;
  readonly batch_size: number;
  readonly log: Readonly<Record<"loss" | "lr" | "logit_scale" | "grad_norm", readonly number[]>>;
  readonly no_weight_decay: readonly string[];
  readonly snapshots: Readonly<Record<string, Readonly<Record<string, Sample>>>>;
}

interface Recipe {
  readonly optimizer: "adamw" | "adam";
  readonly lr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weight_decay: number;
  readonly warmup: number;
  readonly total_steps: number;
  readonly initial_logit_scale: number | null;
}

const cases = goldenCases("train");

describe.skipIf(cases.length === 0)(
  "CLIP training matches the golden curves (skipped without golden data)",
  () => {
    for (const { backend, loads } of parityBackends) {
      describe.skipIf(!loads)(`on ${backend}${loads ? "" : " (not installed)"}`, () => {
        it.each(cases)("$id: losses, rates, norms and parameters", async (found) => {
          const recipe = found.config as unknown as Recipe;
          const curve = goldenJson(found.files["expected"]) as Curve;
          const pool = await goldenTensors(found, "pool");
          const { config, state } = await goldenState(found);
          const start = new Map(state);
          if (recipe.initial_logit_scale !== null) {
            start.set("logit_scale", {
              shape: [],
              data: Float32Array.of(recipe.initial_logit_scale),
            });
          }
          const model = createClipModel(await openBackend(backend), config, start);
          const { ops } = model;
          const optimizer = createOptimizer(model, {
            optimizer: recipe.optimizer,
            weightDecay: recipe.weight_decay,
            beta1: recipe.betas[0],
            beta2: recipe.betas[1],
            epsilon: recipe.eps,
          });
          const undecayed = [...parameterShapes(config)].filter(([name, shape]) => !isDecayed(name, shape));
          expect(undecayed.map(([name]) => name).toSorted()).toEqual([...curve.no_weight_decay].toSorted());

          const stored = pool.get("images_u8")!;
          const [count = 0, c = 0, h = 0, w = 0] = stored.shape;
          const pixels = Uint8Array.from(channelsLast(stored.data as Uint8Array, [count, c, h, w]));
          const size = c * h * w;
          const ids = rows(pool, "ids");
          const order = rows(pool, "order");
          const lossTolerance = found.tolerance["loss_atol"] as number;

          for (let step = 0; step < curve.steps; step++) {
            const chosen = [...(order[step] as Int32Array)];
            const batch = new Uint8Array(chosen.length * size);
            chosen.forEach((row, at) => batch.set(pixels.subarray(row * size, (row + 1) * size), at * size));
            const images = ops.tensor(normaliseRgb(batch), [chosen.length, h, w, c]);
            const learningRate = learningRateAt(step, {
              base: recipe.lr,
              warmup: recipe.warmup,
              total: recipe.total_steps,
              schedule: "cosine",
            });
            expect(learningRate).toBeCloseTo(curve.log.lr[step] as number, 12);
            const { loss, gradientNorm } = trainStep(model, optimizer, {
              images,
              tokens: tokenBatch(
                chosen.map((row) => ids[row] as Int32Array),
                config.text_cfg,
              ),
              learningRate,
            });
            images.dispose();
            const first = found.tolerance["first_loss_atol"] as number;
            expect(
              Math.abs(loss - (curve.log.loss[step] as number)),
              `loss of step ${step}`,
            ).toBeLessThanOrEqual(step === 0 ? first : lossTolerance);
            const norm = curve.log.grad_norm[step] as number;
            expect(Math.abs(gradientNorm - norm) / norm, `gradient norm of step ${step}`).toBeLessThanOrEqual(
              1e-3,
            );
            expect(
              Math.abs(optimizer.logitScale() - (curve.log.logit_scale[step] as number)),
              `logit scale after step ${step}`,
            ).toBeLessThanOrEqual(1e-5);

            const snapshot = curve.snapshots[step + 1];
            if (snapshot) expectSnapshot(modelState(model), snapshot, 0.1 * recipe.lr + 1e-5, step + 1);
          }
          disposeClipModel(model);
        });
      });
    }
  },
);

/** Compares sampled parameters; the key third of an `in_proj_bias` is noise and 0 in the golden file. */
function expectSnapshot(
  state: ReturnType<typeof modelState>,
  snapshot: Readonly<Record<string, Sample>>,
  atol: number,
  step: number,
): void {
  for (const [name, { index, value }] of Object.entries(snapshot)) {
    const data = Float32Array.from(state.get(name)?.data ?? []);
    if (name.endsWith("in_proj_bias")) data.fill(0, data.length / 3, (2 * data.length) / 3);
    index.forEach((at, i) => {
      expect(
        Math.abs((data[at] as number) - (value[i] as number)),
        `${name}[${at}] after step ${step}`,
      ).toBeLessThanOrEqual(atol);
    });
  }
}
