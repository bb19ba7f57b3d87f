import { describe, expect, it } from "vitest";
import { predictChunks, uploadHead } from "../../nodes/heads/compute.ts";
import { fromStored, headTensors, toStored, type HeadShape } from "../../nodes/heads/head.ts";
import { matrix, type Matrix } from "../../nodes/heads/matrix.ts";
import type { RanOptions } from "../../nodes/heads/objective.ts";
import { startTraining, trainHead, type TrainingOptions } from "../../nodes/heads/train.ts";
import { readSafetensors, type SafetensorsFile, type StoredTensor } from "../../nodes/safetensors.ts";
import { goldenCases, goldenFile, goldenJson, parityBackends, type GoldenCase } from "../rig/golden.ts";

interface HeadConfig {
  readonly head: "LP" | "MLP";
  readonly losses: string;
  readonly task: string;
  readonly d: number;
  readonly hidden: number;
  readonly K: number;
  readonly batch: number;
  readonly epochs: number;
  readonly lr: number;
  readonly alpha: number;
  readonly beta: number;
  readonly lambda: number;
  readonly centroids: string | null;
}

interface HeadLog {
  readonly loss: readonly number[];
  readonly components: readonly (readonly number[])[];
  readonly component_names: readonly string[];
}

const backends = await parityBackends();

describe.skipIf(goldenCases("heads/").length === 0)("golden heads (skipped where absent)", () => {
  for (const golden of goldenCases("heads/")) {
    const config = golden.config as unknown as HeadConfig;
    for (const backend of backends) {
      it.skipIf(backend.skip)(`${golden.id} on ${backend.name} (skipped where not installed)`, async () => {
        const runtime = await backend.runtime();
        const data = await readSafetensors(goldenFile(golden, "data"));
        const tensors = await readSafetensors(goldenFile(golden, "tensors"));
        const log = goldenJson<HeadLog>(golden, "log");
        const options = trainingOptions(config);
        const multi = options.objective.task === "multi-label";
        const trainingData = {
          features: tensorMatrix(data, "F"),
          labels: tensor(data, multi ? "Y_multi" : "y_single").data as Int32Array,
        };
        const order = tensor(data, "order");
        const rows = trainingData.features.rows;

        const state = startTraining(runtime, trainingData, options, initial(tensors, options.shape), 0);
        const steps = [
          ...trainHead(trainingData, options, state, (epoch) =>
            (order.data as Int32Array).subarray(epoch * rows, (epoch + 1) * rows),
          ),
        ];

        const limits = golden.tolerance as Readonly<Record<string, number>>;
        expect(steps.length).toBe(log.loss.length);
        expect(Math.abs((steps[0]?.loss ?? NaN) - (log.loss[0] ?? NaN))).toBeLessThanOrEqual(
          limits["loss_first_step_atol"] as number,
        );
        expect(
          furthest(
            steps.map((step) => step.loss),
            log.loss,
          ),
        ).toBeLessThanOrEqual(limits["loss_atol"] as number);
        const firstTerms = log.component_names.map((name) => steps[0]?.terms[name] ?? NaN);
        expect(furthest(firstTerms, log.components[0] ?? [])).toBeLessThanOrEqual(1e-4);

        const weights = state.head.weights();
        const head = uploadHead(runtime, options.shape, weights);
        expect(logitsDistance(head, data, "F_eval", tensors, "logits_eval")).toBeLessThanOrEqual(
          limits["logits_atol"] as number,
        );
        expect(logitsDistance(head, data, "F", tensors, "logits_train_eval_mode")).toBeLessThanOrEqual(
          limits["logits_atol"] as number,
        );
        for (const [name, { data: got }] of toStored(weights, options.shape)) {
          if (skipped(golden, name)) continue;
          const wanted = tensor(tensors, `final.${name}`).data as Float32Array;
          expect(furthest(got as Float32Array, wanted), name).toBeLessThanOrEqual(
            limits["weights_atol"] as number,
          );
        }
        if (tensors.tensors.has("final.centroids")) {
          const wanted = tensor(tensors, "final.centroids").data as Float32Array;
          expect(furthest(state.centroids?.values.data ?? [], wanted)).toBeLessThanOrEqual(
            limits["weights_atol"] as number,
          );
        }
      });
    }
  }
});

function trainingOptions(config: HeadConfig): TrainingOptions {
  const mlp = config.head === "MLP";
  const task = config.task.startsWith("softmax") ? "single-label" : "multi-label";
  const ran: RanOptions = {
    alpha: config.alpha,
    beta: config.beta,
    useMse: true,
    useCov: true,
    useAdv: true,
    mseReduction: "mean_over_batch_sum_dim",
    advFeature: "z",
    advNormalize: true,
    centroids: "ema_mean",
    centroidMomentum: Number(/m=([\d.]+)/.exec(config.centroids ?? "m=0.9")?.[1]),
    perLabelBinary: false,
    includeNoFinding: true,
    proxWeight: 0,
  };
  return {
    shape: {
      dim: config.d,
      hidden: mlp ? config.hidden : 0,
      residual: mlp,
      batchNorm: mlp,
      outputs: config.K,
    },
    objective: {
      task,
      outputs: config.K,
      ran: config.losses === "RAN" ? ran : undefined,
      nmtune: config.losses === "NMTune" ? { variant: "paper", lambda: config.lambda } : undefined,
    },
    epochs: config.epochs,
    batchSize: config.batch,
    learningRate: config.lr,
    weightDecay: 1e-4,
  };
}

/** The golden initial weights, with the batch norm statistics that PyTorch begins with. */
function initial(tensors: SafetensorsFile, shape: HeadShape): Map<string, Float32Array> {
  const stored = new Map<string, StoredTensor>();
  for (const [name, size] of headTensors(shape)) {
    const value = name.endsWith("running_var") ? 1 : 0;
    const fresh = { shape: size, data: new Float32Array(size[0] ?? 0).fill(value) };
    stored.set(name, tensors.tensors.get(`init.${name}`) ?? fresh);
  }
  return fromStored(stored, shape, "golden");
}

function logitsDistance(
  head: Parameters<typeof predictChunks>[0],
  data: SafetensorsFile,
  features: string,
  tensors: SafetensorsFile,
  expected: string,
): number {
  const got: number[] = [];
  for (const { logits } of predictChunks(head, tensorMatrix(data, features))) got.push(...logits.data);
  return furthest(got, tensor(tensors, expected).data as Float32Array);
}

/** Largest absolute difference; infinite where lengths differ or a value is no number. */
function furthest(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (got.length !== wanted.length) return Infinity;
  let worst = 0;
  for (let t = 0; t < wanted.length; t++) {
    const distance = Math.abs((got[t] as number) - (wanted[t] as number));
    worst = Number.isNaN(distance) ? Infinity : Math.max(worst, distance);
  }
  return worst;
}

function skipped(golden: GoldenCase, name: string): boolean {
  return (golden.tolerance["skip_weights"] as readonly string[]).includes(name);
}

function tensor(file: SafetensorsFile, name: string): StoredTensor {
  const found = file.tensors.get(name);
  if (!found) throw new Error(`the golden file has no tensor ${name}`);
  return found;
}

function tensorMatrix(file: SafetensorsFile, name: string): Matrix {
  const { shape, data } = tensor(file, name);
  return matrix(shape[0] ?? 0, shape[1] ?? 0, data as Float32Array);
}
