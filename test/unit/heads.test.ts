import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../engine/sdk.ts";
import { evaluateClassification } from "../../nodes/evaluate-classification.ts";
import { writeFeatures } from "../../nodes/features.ts";
import type { HeadHeader } from "../../nodes/formats.ts";
import { headTrain } from "../../nodes/head-train.ts";
import { randomStream } from "../../nodes/random.ts";
import { readMetrics, readTable } from "../../nodes/records.ts";
import { runNode, type NodeRun } from "../rig/run-node.ts";

const labels = ["Atelectasis", "Cardiomegaly", "Effusion"];

interface World {
  readonly count: number;
  readonly seed: number;
  readonly dataset?: string;
  readonly split?: string;
  readonly labels?: readonly string[];
  /** Exactly one positive per sample. */
  readonly single?: boolean;
  /** Row -> label value to put in place of the drawn one. */
  readonly override?: (row: number, label: number, drawn: number) => number;
}

/** Features in which each label shifts the mean along a direction of its own: learnable, not trivial. */
async function world(options: World): Promise<string> {
  const { count, seed, dataset = "chestxray14", split = "train" } = options;
  const names = options.labels ?? labels;
  const dim = 12;
  const features = new Float32Array(count * dim);
  const truth = new Int32Array(count * names.length);
  for (let row = 0; row < count; row++) {
    const random = randomStream(seed, "world", row);
    const only = random.int(names.length);
    for (let k = 0; k < names.length; k++) {
      const drawn = options.single ? Number(k === only) : Number(random.next() < 0.4);
      truth[row * names.length + k] = options.override?.(row, k, drawn) ?? drawn;
      for (let t = 0; t < dim; t++) {
        const direction = t % names.length === k ? 1 : -0.3;
        const at = row * dim + t;
        features[at] = (features[at] ?? 0) + drawn * direction + 0.4 * random.normal();
      }
    }
  }
  const folder = await mkdtemp(join(tmpdir(), "ranflow-features-"));
  const ids = Array.from({ length: count }, (_, row) => `${dataset}-${row}`);
  await writeFeatures(folder, { dataset, split, labels: names, ids, feature: "projected" }, features, truth);
  return folder;
}

async function train(
  params: JsonObject,
  inputs: Record<string, string>,
  more: object = {},
): Promise<NodeRun> {
  return runNode(headTrain, {
    params: { epochs: 4, batchSize: 16, ...params },
    inputs,
    backend: "wasm",
    ...more,
  });
}

async function evaluated(head: string, features: string, params: JsonObject = {}): Promise<JsonObject> {
  const run = await runNode(evaluateClassification, { params, inputs: { head, features }, backend: "wasm" });
  return await readMetrics(run.outputs["metrics"] ?? "");
}

async function headBytes(run: NodeRun): Promise<string> {
  return (await readFile(join(run.outputs["head"] ?? "", "head.safetensors"))).toString("base64");
}

describe("head.train", () => {
  const methods: JsonObject[] = [
    { method: "probe" },
    { method: "mlp" },
    { method: "ran" },
    { method: "mlp", residual: false },
    { method: "mlp", batchNorm: false },
    { method: "ran", centroids: "batch_mean" },
    { method: "ran", centroids: "learned", proxWeight: 0.1 },
    { method: "ran", centroids: "classifier_weight", advFeature: "f" },
    { method: "ran", perLabelBinary: true },
    { method: "ran", advNormalize: false, advCap: 2 },
    { method: "ran", useMse: false, useCov: false, useAdv: false },
    { method: "nmtune" },
    { method: "nmtune", variant: "code" },
  ];
  for (const params of methods) {
    it(`learns with ${JSON.stringify(params)}`, async () => {
      const run = await train(
        { ...params, epochs: 12, learningRate: 0.02 },
        { train: await world({ count: 160, seed: 1 }) },
      );
      const test = await world({ count: 200, seed: 2, split: "test" });
      const metrics = await evaluated(run.outputs["head"] ?? "", test);
      expect(metrics["auc"]).toBeGreaterThan(0.75);
      const log = await readTable(run.outputs["log"] ?? "");
      expect(log.map((row) => row["epoch"])).toEqual(Array.from({ length: 12 }, (_, epoch) => epoch + 1));
      expect(log.at(-1)?.["task"]).toBeLessThan(log[0]?.["task"] as number);
      expect(run.progress.at(-1)).toMatchObject({ done: 120, total: 120 });
    });
  }

  it("gives the same bytes for the same seed and others for another", async () => {
    const features = await world({ count: 60, seed: 1 });
    const [first, again, other] = await Promise.all([
      train({ method: "ran" }, { train: features }),
      train({ method: "ran" }, { train: features }),
      train({ method: "ran" }, { train: features }, { seed: 8 }),
    ]);
    expect(await headBytes(again)).toBe(await headBytes(first));
    expect(await headBytes(other)).not.toBe(await headBytes(first));
  });

  it("is the MLP where the ablation turns all of RAN's losses off", async () => {
    const features = await world({ count: 60, seed: 1 });
    const off = { method: "ran", useMse: false, useCov: false, useAdv: false };
    expect(await headBytes(await train(off, { train: features }))).toBe(
      await headBytes(await train({ method: "mlp" }, { train: features })),
    );
  });

  it("is the MLP where NMTune's losses weigh nothing, and another head where they do", async () => {
    const inputs = { train: await world({ count: 60, seed: 1 }) };
    const mlp = await headBytes(await train({ method: "mlp" }, inputs));
    expect(await headBytes(await train({ method: "nmtune", lambda: 0 }, inputs))).toBe(mlp);
    const both = await Promise.all(
      ["paper", "code"].map(async (variant) => headBytes(await train({ method: "nmtune", variant }, inputs))),
    );
    expect(new Set([mlp, ...both]).size).toBe(3);
  });

  it("goes on from a checkpoint to the same bytes", async () => {
    const inputs = { train: await world({ count: 70, seed: 1 }), val: await world({ count: 50, seed: 3 }) };
    for (const params of [
      { method: "ran", selection: "best_val" },
      { method: "ran", centroids: "learned" },
    ]) {
      const whole = await train(params, inputs);
      const checkpoints = await mkdtemp(join(tmpdir(), "ranflow-checkpoints-"));
      const stopped = train(params, inputs, { checkpoints, abortAtAsk: 7 });
      await expect(stopped).rejects.toThrow("stopped by the test");
      const resumed = await train(params, inputs, { checkpoints });
      expect(resumed.logs).toContain("goes on from step 7 of 20");
      expect(resumed.progress.map(({ done }) => done)).toEqual(Array.from({ length: 13 }, (_, i) => 8 + i));
      expect(await headBytes(resumed)).toBe(await headBytes(whole));
      expect(await readTable(resumed.outputs["log"] ?? "")).toEqual(
        await readTable(whole.outputs["log"] ?? ""),
      );
    }
  });

  it("uses nested shares of the training samples", async () => {
    const features = await world({ count: 100, seed: 1 });
    const run = await train({ fraction: 0.2, epochs: 1 }, { train: features });
    expect(run.progress.at(-1)?.total).toBe(2);
  });

  it("fits thresholds on validation data", async () => {
    const inputs = { train: await world({ count: 100, seed: 1 }), val: await world({ count: 80, seed: 2 }) };
    const run = await train({ threshold: "youden_val" }, inputs);
    const header = JSON.parse(
      await readFile(join(run.outputs["head"] ?? "", "head.json"), "utf8"),
    ) as HeadHeader;
    expect(header.thresholds).toHaveLength(3);
    expect(header.thresholds.every((threshold) => threshold > 0 && threshold < 1 && threshold !== 0.5)).toBe(
      true,
    );
  });

  it("trains a single-label head", async () => {
    const run = await train(
      { method: "ran", task: "single-label", epochs: 12, learningRate: 0.02 },
      { train: await world({ count: 160, seed: 1, single: true }) },
    );
    const test = await world({ count: 200, seed: 2, single: true });
    expect((await evaluated(run.outputs["head"] ?? "", test))["acc"]).toBeGreaterThan(0.6);
  });

  it("ignores unknown labels and warns of labels with one class", async () => {
    const features = await world({
      count: 60,
      seed: 1,
      override: (row, k, drawn) => (k === 1 ? 0 : row % 3 === 0 ? -1 : drawn),
    });
    const run = await train({ method: "ran" }, { train: features });
    expect(run.logs).toContain("only one class among the 60 training samples: Cardiomegaly");
  });

  it("refuses validation settings without validation features", async () => {
    const inputs = { train: await world({ count: 20, seed: 1 }) };
    await expect(train({ selection: "best_val" }, inputs)).rejects.toThrow(
      "selection best_val needs validation features",
    );
  });

  it("refuses samples that a single-label task cannot use", async () => {
    const inputs = { train: await world({ count: 20, seed: 1, override: () => 1 }) };
    await expect(train({ task: "single-label" }, inputs)).rejects.toThrow("has several positive labels");
  });

  it("says when nothing is known about any label, and when there is no sample", async () => {
    const unknown = await world({ count: 20, seed: 1, override: () => -1 });
    await expect(train({}, { train: unknown })).rejects.toThrow("no label of the 20 training samples");
    const empty = await world({ count: 0, seed: 1 });
    await expect(train({}, { train: empty })).rejects.toThrow("hold no sample");
  });

  it("keeps a batch of one row out of batch norm", async () => {
    const run = await train({ method: "mlp", epochs: 1 }, { train: await world({ count: 17, seed: 1 }) });
    expect(run.progress.at(-1)?.total).toBe(1);
    const single = await world({ count: 1, seed: 1 });
    await expect(train({ method: "mlp" }, { train: single })).rejects.toThrow("too few for batch norm");
  });

  const impossible: [JsonObject, string][] = [
    [{ method: "probe", alpha: 0.5 }, "method probe does not use alpha"],
    [{ method: "mlp", useCov: false }, "give it to ran alone"],
    [{ method: "probe", ratio: 2 }, "give it to mlp, ran and nmtune alone"],
    [{ method: "ran", lambda: 0.1 }, "give it to nmtune alone"],
    [{ method: "nmtune", variant: "code", lambda: 0.1 }, "variant code has weights of its own"],
    [{ method: "ran", advFeature: "f" }, "makes L_ADV a constant"],
    [{ method: "ran", perLabelBinary: true, centroids: "classifier_weight" }, "two centroids per label"],
    [{ method: "ran", perLabelBinary: true, task: "single-label" }, "one class per sample"],
    [{ method: "mlp", batchSize: 1 }, "batchSize 1"],
    [{ task: "single-label", threshold: "youden_val" }, "multi-label tasks"],
  ];
  for (const [params, message] of impossible) {
    it(`refuses ${JSON.stringify(params)}`, () => {
      expect(headTrain.check?.(headTrain.params.parse(params) as never)).toContain(message);
    });
  }
  for (const params of [
    { method: "ran", alpha: 0.02, beta: 0 },
    { method: "probe" },
    { method: "probe", alpha: 0.01 },
  ]) {
    it(`accepts ${JSON.stringify(params)}`, () => {
      expect(headTrain.check?.(headTrain.params.parse(params) as never)).toBeUndefined();
    });
  }

  it("reads validation features only where a parameter needs them", () => {
    const reads = (params: JsonObject): readonly string[] | undefined =>
      headTrain.reads?.(headTrain.params.parse(params) as never);
    expect(reads({})).toEqual(["train"]);
    expect(reads({ threshold: "best_acc_val" })).toEqual(["train", "val"]);
    expect(reads({ selection: "best_val" })).toEqual(["train", "val"]);
  });
});
