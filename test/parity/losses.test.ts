import { beforeAll, describe, expect, it } from "vitest";
import type { Runtime } from "../../nodes/compute/types.ts";
import { runtimeProduct } from "../../nodes/heads/compute.ts";
import { adversarialLoss, type CentroidSource } from "../../nodes/heads/losses/adversarial.ts";
import { multiLabelSets, singleLabelSets, type ClassSets } from "../../nodes/heads/losses/class-sets.ts";
import { consistencyLoss, type MseReduction } from "../../nodes/heads/losses/consistency.ts";
import { covarianceLoss } from "../../nodes/heads/losses/covariance.ts";
import { nmtuneLoss, spectralLoss } from "../../nodes/heads/losses/spectral.ts";
import { binaryCrossEntropy, softmaxCrossEntropy } from "../../nodes/heads/losses/task.ts";
import type { MatrixProduct } from "../../nodes/heads/losses/types.ts";
import { addScaled, matrix, transpose, zeros, type Matrix } from "../../nodes/heads/matrix.ts";
import { objective, type RanOptions } from "../../nodes/heads/objective.ts";
import { readSafetensors, type SafetensorsFile } from "../../nodes/safetensors.ts";
import { goldenCases, goldenFile, goldenJson, parityBackends } from "../rig/golden.ts";

interface Expected {
  readonly value: number;
  readonly labels?: string;
  readonly centroids?: string;
  readonly normalize?: boolean;
  readonly feature?: string;
  readonly prox_weight?: number;
  readonly valid?: readonly boolean[];
  readonly alpha?: number;
  readonly beta?: number;
  readonly gradients?: Readonly<Record<string, string>>;
  readonly extra?: Readonly<Record<string, string>>;
}

/** What a loss gave, by the names that the golden gradients have. */
interface Got {
  readonly value: number;
  readonly dZ?: Matrix;
  readonly dC?: Matrix | undefined;
  readonly dW?: Matrix | undefined;
  readonly db?: Matrix;
  readonly centroids?: Matrix;
  readonly valid?: readonly boolean[];
}

const backends = await parityBackends();

describe.skipIf(goldenCases("losses/").length === 0)("golden losses (skipped where absent)", () => {
  for (const golden of goldenCases("losses/")) {
    const { losses } = goldenJson<{ losses: Readonly<Record<string, Expected>> }>(golden, "expected");
    const limits = golden.tolerance as Readonly<
      Record<"value_rtol" | "value_atol" | "grad_rtol" | "grad_atol", number>
    >;
    for (const backend of backends) {
      describe.skipIf(backend.skip)(`${golden.id} on ${backend.name} (skipped where not installed)`, () => {
        let runtime: Runtime;
        let inputs: Inputs;
        let gradients: SafetensorsFile;
        beforeAll(async () => {
          runtime = await backend.runtime();
          inputs = new Inputs(await readSafetensors(goldenFile(golden, "inputs")), golden.config);
          gradients = await readSafetensors(goldenFile(golden, "gradients"));
        });
        for (const [name, expected] of Object.entries(losses)) {
          // The contrastive loss of two sets of rows belongs to pre-training, which has its own parity test.
          const elsewhere = name.startsWith("clip_loss");
          it.skipIf(elsewhere)(elsewhere ? `${name} (skipped: tested with pre-training)` : name, () => {
            const got = evaluate(name, expected, inputs, runtimeProduct(runtime));
            const slack = limits.value_atol + limits.value_rtol * Math.abs(expected.value);
            expect(Math.abs(got.value - expected.value)).toBeLessThanOrEqual(slack);
            for (const [leaf, key] of Object.entries({ ...expected.gradients, ...expected.extra })) {
              const wanted = gradients.tensors.get(key);
              expect(wanted, key).toBeDefined();
              if (leaf === "valid") {
                expect(got.valid?.map(Number)).toEqual([...(wanted?.data ?? [])].map(Number));
                continue;
              }
              const values = got[leaf as "dZ" | "dC" | "dW" | "db" | "centroids"];
              expect(excess(values, wanted?.data as Float32Array, limits), key).toBeLessThanOrEqual(0);
            }
            // A leaf without an entry has no gradient: nothing but zeros may come back for it.
            for (const leaf of ["dC", "dW"] as const) {
              if (expected.gradients?.[leaf] === undefined) {
                expect(Math.max(0, ...(got[leaf]?.data ?? []).map(Math.abs)), leaf).toBe(0);
              }
            }
          });
        }
      });
    }
  }
});

/** How far the worst value is beyond its tolerance; negative where all are within. */
function excess(
  got: Matrix | undefined,
  wanted: Float32Array,
  limits: { readonly grad_rtol: number; readonly grad_atol: number },
): number {
  if (got?.data.length !== wanted.length) return Infinity;
  let worst = -Infinity;
  for (let t = 0; t < wanted.length; t++) {
    const slack = limits.grad_atol + limits.grad_rtol * Math.abs(wanted[t] as number);
    const beyond = Math.abs((got.data[t] as number) - (wanted[t] as number)) - slack;
    worst = Number.isNaN(beyond) ? Infinity : Math.max(worst, beyond);
  }
  return worst;
}

class Inputs {
  readonly file: SafetensorsFile;
  readonly momentum: number;

  constructor(file: SafetensorsFile, config: Readonly<Record<string, unknown>>) {
    this.file = file;
    this.momentum = config["ema_m"] as number;
  }

  matrix(name: string): Matrix {
    const tensor = this.file.tensors.get(name);
    const [rows = 0, cols = 1] = tensor?.shape ?? [];
    return matrix(rows, cols, tensor?.data as Float32Array);
  }

  labels(name: string): { readonly data: Int32Array; readonly width: number } {
    const tensor = this.file.tensors.get(name);
    return { data: tensor?.data as Int32Array, width: tensor?.shape[1] ?? 1 };
  }
}

function evaluate(name: string, expected: Expected, inputs: Inputs, product: MatrixProduct): Got {
  const z = inputs.matrix("Z");
  const f = inputs.matrix("F");
  if (name === "cov") return covarianceLoss(z, product);
  if (name.startsWith("mse_")) return consistencyLoss(z, f, name.slice("mse_".length) as MseReduction);
  if (name.startsWith("svd_")) return spectralLoss(z, name === "svd_paper" ? "paper" : "code", product);
  if (name.startsWith("adv_")) return adversarial(expected, inputs);
  return withClassifier(name, expected, inputs, product);
}

function adversarial(expected: Expected, inputs: Inputs): Got {
  const [tensor = ""] = (expected.labels ?? "").split(/[\s,]/);
  const { data, width } = inputs.labels(tensor);
  const given = inputs.matrix("C");
  const sets: ClassSets =
    width === 1
      ? singleLabelSets(data, given.rows)
      : multiLabelSets(data, width, expected.labels?.includes("+ No Finding") ? width : undefined);
  const kind = expected.centroids ?? "learned";
  const valid = expected.valid ?? Array.from({ length: sets.classes }, () => true);
  const source = centroidSource(kind, inputs, valid);
  const result = adversarialLoss(inputs.matrix(expected.feature === "f" ? "F" : "Z"), sets, source, {
    normalize: expected.normalize ?? true,
    proxWeight: expected.prox_weight ?? 0,
  });
  const leaf = kind === "classifier_weight" ? "dW" : "dC";
  return {
    value: result.value,
    dZ: result.dPoints,
    [leaf]: result.dCentroids,
    centroids: result.centroids.values,
    valid: result.centroids.valid,
  };
}

function centroidSource(kind: string, inputs: Inputs, valid: readonly boolean[]): CentroidSource {
  switch (kind) {
    case "ema_mean":
      return {
        kind,
        previous: { values: inputs.matrix("C"), valid },
        momentum: inputs.momentum,
      };
    case "batch_mean":
      return { kind };
    case "learned":
      return { kind: "given", centroids: { values: inputs.matrix("C"), valid } };
    case "classifier_weight":
      return { kind: "given", centroids: { values: inputs.matrix("W"), valid } };
    default:
      throw new Error(`no centroids are called ${kind}`);
  }
}

/** Losses on logits Z W^T + b, with W cut to the number of labels. */
function withClassifier(name: string, expected: Expected, inputs: Inputs, product: MatrixProduct): Got {
  const multi = /multi|bce/.test(name);
  const z = inputs.matrix("Z");
  const { data: labels, width } = inputs.labels(multi ? "Y4_with_null" : "y");
  const all = inputs.matrix("W");
  const outputs = multi ? width : all.rows;
  const w = matrix(outputs, all.cols, all.data.slice(0, outputs * all.cols));
  const logits = plainProduct(z, transpose(w));
  const bias = inputs.matrix("b").data;
  for (let t = 0; t < logits.data.length; t++) {
    logits.data[t] = (logits.data[t] as number) + (bias[t % outputs] as number);
  }

  let value: number;
  let dLogits: Matrix;
  const dZ = zeros(z.rows, z.cols);
  if (name.startsWith("ran_total")) {
    const sets = { values: inputs.matrix("C"), valid: Array.from({ length: all.rows }, () => true) };
    // The golden value takes BCE on labels with nulls, L_ADV on the same labels without.
    const known = multi ? inputs.labels("Y4").data : labels;
    const task = multi ? binaryCrossEntropy(logits, labels) : softmaxCrossEntropy(logits, labels);
    const total = objective(
      { f: inputs.matrix("F"), z, logits, labels: known },
      {
        task: multi ? "multi-label" : "single-label",
        outputs,
        ran: { ...ranDefaults, alpha: expected.alpha ?? NaN, beta: expected.beta ?? NaN },
      },
      product,
      { kind: "ema_mean", previous: sets, momentum: inputs.momentum },
    );
    value = total.loss - (total.terms["task"] as number) + task.value;
    dLogits = task.dLogits;
    addScaled(dZ, total.dZ as Matrix, 1);
  } else {
    const task = multi ? binaryCrossEntropy(logits, labels) : softmaxCrossEntropy(logits, labels);
    value = task.value;
    dLogits = task.dLogits;
    if (name.startsWith("nmtune")) {
      const variant = name.includes("paper") ? "paper" : "code";
      const extra = nmtuneLoss(z, inputs.matrix("F"), { variant, lambda: 0.01 }, product);
      value += extra.value;
      addScaled(dZ, extra.dZ, 1);
    } else if (!name.startsWith("task_")) throw new Error(`no way to evaluate the golden loss ${name}`);
  }
  addScaled(dZ, plainProduct(dLogits, w), 1);
  const dW = zeros(all.rows, all.cols);
  dW.data.set(plainProduct(transpose(dLogits), z).data);
  const db = zeros(all.rows, 1);
  for (let t = 0; t < dLogits.data.length; t++) {
    db.data[t % outputs] = (db.data[t % outputs] as number) + (dLogits.data[t] as number);
  }
  return { value, dZ, dW, db };
}

const ranDefaults: RanOptions = {
  alpha: 0.01,
  beta: 0.015,
  useMse: true,
  useCov: true,
  useAdv: true,
  mseReduction: "mean_over_batch_sum_dim",
  advFeature: "z",
  advNormalize: true,
  centroids: "ema_mean",
  centroidMomentum: 0.9,
  perLabelBinary: false,
  includeNoFinding: true,
  proxWeight: 0,
};

function plainProduct(a: Matrix, b: Matrix): Matrix {
  const result = zeros(a.rows, b.cols);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.cols; j++) {
      let sum = 0;
      for (let k = 0; k < a.cols; k++) {
        sum += (a.data[i * a.cols + k] as number) * (b.data[k * b.cols + j] as number);
      }
      result.data[i * b.cols + j] = sum;
    }
  }
  return result;
}
