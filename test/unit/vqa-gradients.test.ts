/** What `vqa.train` goes down: gradients of fusion and head together, held to slopes of the loss. */
import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../engine/sdk.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import { runtimeProduct, trainPass, uploadHead } from "../../nodes/heads/compute.ts";
import { initialWeights } from "../../nodes/heads/head.ts";
import { objective } from "../../nodes/heads/objective.ts";
import { untrained } from "../../nodes/heads/train.ts";
import { trainedHead } from "../../nodes/heads/trained-head.ts";
import { headOptions } from "../../nodes/heads/training-set.ts";
import { oneHotCrossEntropy, softmaxCrossEntropy } from "../../nodes/heads/losses/task.ts";
import { dropout } from "../../nodes/nn/dropout.ts";
import { opsOf } from "../../nodes/nn/ops.ts";
import type { Gradients } from "../../nodes/nn/parameters.ts";
import { randomStream } from "../../nodes/random.ts";
import type { Tokens } from "../../nodes/tokens.ts";
import { fusionBatch } from "../../nodes/vqa/batch.ts";
import { fusionShapes, type FusionConfig } from "../../nodes/vqa/fusion-config.ts";
import { vqaGradients } from "../../nodes/vqa/gradients.ts";
import { uploadFusion } from "../../nodes/vqa/model.ts";
import { headParamsOf, vqaParams } from "../../nodes/vqa/params.ts";
import { linearRate } from "../../nodes/vqa/train.ts";
import { backends, expectSlope, normals } from "../rig/slopes.ts";

const config: FusionConfig = { layers: 1, width: 8, heads: 2, ffn: 12, inputs: { text: 6, image: 5 } };
const answers = ["left", "no", "yes"];
const rows = [0, 1, 2, 3, 4, 5, 6];
const labels = Int32Array.from(rows, (row) => row % 3);

/** Two questions of unlike lengths about three images. */
const tokens: Tokens = {
  header: {
    dataset: "d",
    split: "train",
    records: rows.map((row) => ({
      id: String(row),
      image: row % 3,
      question: row % 2,
      answer: answers[row % 3]!,
      answerType: "closed",
    })),
    questions: [
      { text: "long?", length: 4, pooled: 3 },
      { text: "short?", length: 2, pooled: 1 },
    ],
  },
  image: { count: 3, width: 5, values: normals("image", 3 * 3 * 5) },
  text: { width: 6, values: normals("text", 6 * 6), starts: [0, 4] },
};

/** Parameters large enough for every gradient to stand out of rounding. */
function largeFusion(): Map<string, Float32Array> {
  return new Map(
    [...fusionShapes(config)].map(([name, shape]) => {
      const count = shape.reduce((product, size) => product * size, 1);
      const values = normals(name, count, 0.4);
      return [name, name.endsWith("LayerNorm.weight") ? values.map((value) => 1 + value / 4) : values];
    }),
  );
}

// L_MSE takes h as given, so that its slope is another one; it is held to slopes below.
const everywhere: JsonObject[] = [
  { method: "probe" },
  { method: "ran", useMse: false, centroids: "batch_mean", alpha: 0.2, beta: 0.2 },
];
/** What differs in the head and its losses alone, which do not depend on the backend. */
const onWasm: JsonObject[] = [
  { method: "probe", loss: "bce" },
  { method: "probe", classifier: "meter" },
  { method: "mlp" },
  { method: "mlp", residual: false, batchNorm: false },
  { method: "ran", useMse: false, centroids: "learned", alpha: 0.2, beta: 0.2 },
  { method: "ran", useMse: false, centroids: "classifier_weight", alpha: 0.2, beta: 0.2 },
];

for (const { backend, loads } of backends) {
  describe.skipIf(!loads)(`gradients of vqa.train on ${backend}${loads ? "" : " (not installed)"}`, () => {
    it.each([...everywhere, ...(backend === "wasm" ? onWasm : [])])("are slopes with %o", async (wanted) => {
      const params = vqaParams.parse({ ...wanted, width: config.width, heads: config.heads, ratio: 1 });
      const { objective: loss, shape: given } = headOptions(headParamsOf(params), 2 * config.width, answers);
      const shape = { ...given, meter: params.classifier === "meter" };
      const options = { shape, objective: { ...loss, oneHot: params.loss === "bce" } };
      const ops = opsOf(await openRuntime({ backend, threads: 1 }));
      const fusion = largeFusion();
      const initial = initialWeights(shape, 7);
      // METER's initial weights are too small for gradients to stand out of rounding.
      for (const [name, values] of initial)
        if (shape.meter && name.endsWith(".weight") && name !== "mlp.1.weight")
          initial.set(
            name,
            values.map((value) => 20 * value),
          );
      const adamw = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };
      const start = untrained(ops.runtime, { ...options, ...adamw }, initial, 7);
      const weights = new Map([...start.head.weights()].map(([name, data]) => [name, data.slice()] as const));
      start.head.trained.dispose();

      const read = (gradients: Gradients) =>
        [...gradients].map(([name, gradient]) => [name, Float32Array.from(ops.read(gradient))] as const);
      const pass = () =>
        ops.tidy(() => {
          const head = { ...start, head: trainedHead(ops.runtime, shape, weights, adamw) };
          const model = { ops, config, parameters: uploadFusion(ops, config, fusion) };
          const batch = fusionBatch(model, tokens, rows, "eot");
          const drop = dropout(ops, 0.2, randomStream(7, "dropout"));
          const found = vqaGradients(model, { head, options }, { batch, labels, drop });
          const gradients = new Map([...read(found.fusion), ...read(found.head)]);
          ops.dispose(...model.parameters.values());
          head.head.trained.dispose();
          return { loss: found.loss, gradients };
        });

      const { gradients } = pass();
      const parameters = new Map([...fusion, ...weights]);
      expect([...gradients.keys()].toSorted()).toEqual(
        [...parameters.keys()].filter((name) => !name.includes("running")).toSorted(),
      );
      let steep = 0;
      for (const [name, gradient] of gradients) {
        const norm = Math.hypot(...gradient);
        const values = parameters.get(name)!;
        const origin = values.slice();
        // Along its own gradient a loss rises by the gradient's norm.
        const lossAt = (by: number): number => {
          values.forEach((_, i) => (values[i] = origin[i]! + (norm > 0 ? (by * gradient[i]!) / norm : 0)));
          return pass().loss;
        };
        const slope = (lossAt(4e-3) - lossAt(-4e-3)) / 8e-3;
        values.set(origin);
        expect(Math.abs(slope - norm), `${name}: ${slope} and ${norm}`).toBeLessThan(4e-4 + 0.02 * norm);
        if (norm > 4e-3) steep++;
      }
      expect(steep).toBeGreaterThan(0.7 * gradients.size);
    });

    it("reach what is before the head through all of RAN's and NMTune's losses", async () => {
      const runtime = await openRuntime({ backend, threads: 1 });
      for (const given of [
        { method: "ran", centroids: "batch_mean", alpha: 0.3, beta: 0.3 },
        { method: "nmtune", lambda: 0.3 },
      ]) {
        const params = headParamsOf(vqaParams.parse({ ...given, ratio: 1 }));
        const options = headOptions(params, 6, answers);
        const weights = initialWeights(options.shape, 7);
        const detached = { rows: rows.length, cols: 6, data: normals("f", rows.length * 6) };
        const head = uploadHead(runtime, options.shape, weights);
        const pass = (data: Float32Array) => {
          let loss = 0;
          const { dF } = trainPass(
            head,
            { ...detached, data },
            (z, logits) => {
              const batch = { f: detached, z, logits, labels };
              const source = { kind: "batch_mean" } as const;
              const value = objective(batch, options.objective, runtimeProduct(runtime), source);
              loss = value.loss;
              return value;
            },
            { dF: true },
          );
          return { loss, dF: dF!.data as Float32Array };
        };
        expectSlope(pass(detached.data).dF, detached.data, (data) => pass(data).loss, given.method);
      }
    });
  });
}

describe("oneHotCrossEntropy", () => {
  it("is what one class against the rest costs, summed over the classes", () => {
    const logits = { rows: 1, cols: 3, data: Float64Array.of(2, -1, 0.5) };
    const { dLogits, value } = oneHotCrossEntropy(logits, [1]);
    const cost = (x: number, y: number) =>
      -Math.log(y === 1 ? 1 / (1 + Math.exp(-x)) : 1 / (1 + Math.exp(x)));
    expect(value).toBeCloseTo(cost(2, 0) + cost(-1, 1) + cost(0.5, 0), 10);
    expect(dLogits.data[1]).toBeCloseTo(1 / (1 + Math.exp(1)) - 1, 10);
    expect(softmaxCrossEntropy(logits, [1]).value).not.toBeCloseTo(value, 2);
  });
});

describe("linearRate", () => {
  it("rises for a share of the steps and falls to 0 on a line", () => {
    const rates = Array.from({ length: 21 }, (_, step) =>
      linearRate(step, 20, { learningRate: 1, warmup: 0.2 }),
    );
    expect(rates.slice(0, 5)).toEqual([0.25, 0.5, 0.75, 1, 1]);
    expect(rates[12]).toBe(0.5);
    expect(rates[20]).toBe(0);
    expect(linearRate(0, 10, { learningRate: 1, warmup: 0 })).toBe(1);
  });
});
