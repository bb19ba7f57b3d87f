import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { JsonObject } from "../../engine/sdk.ts";
import { clipEmbedQuestions } from "../../nodes/clip-embed-questions.ts";
import { evaluateVqa } from "../../nodes/evaluate-vqa.ts";
import { readMetrics, readQuestions, readTable, writeQuestions } from "../../nodes/records.ts";
import { readSafetensors, writeSafetensors } from "../../nodes/safetensors.ts";
import type { TokensHeader } from "../../nodes/formats.ts";
import { vqaTrain } from "../../nodes/vqa-train.ts";
import { toHalves } from "../../nodes/half.ts";
import { writeTokens } from "../../nodes/tokens.ts";
import { runNode, type NodeRun, type NodeRunOptions } from "../rig/run-node.ts";
import { vqaWorld, type VqaWorld } from "../rig/vqa-world.ts";

let world: VqaWorld;
beforeAll(async () => {
  world = await vqaWorld();
});

const small = { layers: 1, width: 16, heads: 2, batchSize: 16, epochs: 2, learningRate: 2e-3, headFactor: 2 };

const train = (params: JsonObject = {}, more: NodeRunOptions = {}): Promise<NodeRun> =>
  runNode(vqaTrain, {
    params: { ...small, ...params },
    inputs: { train: world.tokens.train },
    folder: world.folder,
    backend: "wasm",
    ...more,
  });

const evaluate = (run: NodeRun, tokens: string, params: JsonObject = {}): Promise<NodeRun> =>
  runNode(evaluateVqa, {
    params,
    inputs: { model: run.outputs["model"]!, tokens },
    folder: world.folder,
    backend: "wasm",
  });

const measured = async (run: NodeRun, tokens: string, params: JsonObject = {}) =>
  readMetrics((await evaluate(run, tokens, params)).outputs["metrics"]!);

async function bytesOf(run: NodeRun): Promise<readonly string[]> {
  const names = ["fusion.safetensors", "fusion.json", "head.safetensors", "head.json"];
  return Promise.all(
    names.map(async (name) => (await readFile(join(run.outputs["model"]!, name))).toString("base64")),
  );
}

const headerOf = async (tokens: string): Promise<TokensHeader> =>
  JSON.parse(await readFile(join(tokens, "tokens.json"), "utf8"));

describe("clip.embed-questions", () => {
  it("keeps each image and each question once, and all records in order", async () => {
    const { records } = await readQuestions(world.questions.train);
    const header = await headerOf(world.tokens.train);
    const { tensors } = await readSafetensors(join(world.tokens.train, "tokens.safetensors"));
    expect(header).toMatchObject({ dataset: "slake", split: "train" });
    expect(header.records.map(({ id }) => id)).toEqual(records.map(({ id }) => id));
    expect(header.records.map(({ question }) => header.questions[question]!.text)).toEqual(
      records.map(({ question }) => question),
    );
    const images = new Set(records.map(({ image }) => image.digest)).size;
    expect(tensors.get("image")!.shape).toEqual([images, 5, 24]);
    expect(header.questions).toHaveLength(new Set(records.map(({ question }) => question)).size);
    const lengths = header.questions.map(({ length }) => length);
    expect(tensors.get("text")!.shape).toEqual([lengths.reduce((sum, length) => sum + length, 0), 16]);
    for (const { length, pooled } of header.questions) expect(pooled).toBe(length - 1);
  });

  it("gives the tokens of an image and a question whatever else is embedded, but for rounding", async () => {
    const { header, records } = await readQuestions(world.questions.train);
    const last = records.at(-1)!;
    const path = join(world.folder, "last.jsonl");
    await writeQuestions(path, header, [last]);
    const { outputs } = await runNode(clipEmbedQuestions, {
      inputs: { model: world.model, questions: path },
      folder: world.folder,
      backend: "wasm",
    });
    const all = await headerOf(world.tokens.train);
    const alone = (await readSafetensors(join(outputs["tokens"]!, "tokens.safetensors"))).tensors;
    const among = (await readSafetensors(join(world.tokens.train, "tokens.safetensors"))).tensors;
    const { image, question } = all.records.at(-1)!;
    const start = all.questions.slice(0, question).reduce((sum, { length }) => sum + length, 0);
    for (const [name, from] of [
      ["image", image * 5 * 24],
      ["text", start * 16],
    ] as const) {
      const own = alone.get(name)!.data as Float32Array;
      own.forEach((value, at) => expect(among.get(name)!.data[from + at]).toBeCloseTo(value, 2));
    }
  });

  it("gives the same bytes again, also where it is cut short and begun anew", async () => {
    const options = {
      inputs: { model: world.model, questions: world.questions.rad },
      folder: world.folder,
      backend: "wasm",
    };
    await expect(runNode(clipEmbedQuestions, { ...options, abortAtProgress: 5 })).rejects.toThrow(
      "stopped by the test",
    );
    const { outputs } = await runNode(clipEmbedQuestions, options);
    expect(await readFile(join(outputs["tokens"]!, "tokens.safetensors"))).toEqual(
      await readFile(join(world.tokens.rad, "tokens.safetensors")),
    );
  });

  it("does not pass on tokens that are no numbers", async () => {
    const header = { dataset: "d", split: "train", records: [], questions: [] };
    const good = { shape: [1, 1], data: toHalves(Float32Array.of(1)) };
    const bad = { shape: [1, 1, 1], data: toHalves(Float32Array.of(1e5)) };
    await expect(writeTokens(world.folder, header, { image: bad, text: good })).rejects.toThrow(
      "not all image tokens of d (train) are finite numbers",
    );
  });
});

describe("vqa.train", () => {
  const methods: JsonObject[] = [
    { method: "probe" },
    { method: "mlp" },
    { method: "ran" },
    { method: "nmtune" },
    { method: "ran", centroids: "learned" },
    { method: "ran", centroids: "classifier_weight", advFeature: "f" },
    { method: "ran", centroids: "batch_mean" },
    { method: "probe", loss: "bce" },
    { method: "probe", classifier: "meter" },
  ];
  it.each(methods)("learns more than the commonest answer with %o", async (params) => {
    const run = await train({ ...params, epochs: 12 });
    const metrics = await measured(run, world.tokens.train);
    expect(metrics).toMatchObject({ dataset: "slake", split: "train", domain: "id", headline: "acc" });
    expect(metrics["acc"]).toBeGreaterThan((metrics["commonest"] as number) + 0.05);
    expect(metrics["auc"]).toBeGreaterThan(0.7);
    const log = await readTable(run.outputs["log"]!);
    expect(log).toHaveLength(12);
    expect(log.at(-1)!["task"]).toBeLessThan(log[0]!["task"] as number);
  });

  it("pools the text's first token where it is told to, then and when it is asked", async () => {
    const run = await train({ textPool: "first" });
    expect(await bytesOf(run)).not.toEqual(await bytesOf(await train()));
    expect(JSON.parse(await readFile(join(run.outputs["model"]!, "fusion.json"), "utf8"))).toMatchObject({
      textPool: "first",
    });
    expect((await measured(run, world.tokens.test))["coverage"]).toBe(1);
  });

  it("learns answers of the training questions: closed ones, or all", async () => {
    const answers = async (run: NodeRun): Promise<readonly string[]> =>
      (JSON.parse(await readFile(join(run.outputs["model"]!, "head.json"), "utf8")) as { labels: string[] })
        .labels;
    expect(await answers(await train({ epochs: 1 }))).toEqual(["left", "no", "right", "yes"]);
    expect(await answers(await train({ epochs: 1, closedOnly: false }))).toEqual(
      expect.arrayContaining(["chest", "ct", "x-ray", "yes"]),
    );
  });

  it("gives the same bytes for the same seed and others for another", async () => {
    const first = await bytesOf(await train({ method: "ran" }));
    expect(await bytesOf(await train({ method: "ran" }))).toEqual(first);
    expect(await bytesOf(await train({ method: "ran" }, { seed: 8 }))).not.toEqual(first);
  });

  it.each<JsonObject>([{ method: "ran" }, { method: "ran", centroids: "learned" }, { method: "probe" }])(
    "goes on from a checkpoint to the same bytes with %o",
    async (params) => {
      const whole = await train(params);
      const total = whole.progress.at(-1)!.total;
      const stop = Math.floor(total / 2) + 2;
      const checkpoints = await mkdtemp(join(tmpdir(), "ranflow-checkpoints-"));
      await expect(train(params, { checkpoints, abortAtAsk: stop })).rejects.toThrow("stopped by the test");
      const resumed = await train(params, { checkpoints });
      expect(resumed.logs).toContain(`goes on from step ${stop} of ${total}`);
      expect(resumed.progress).toHaveLength(total - stop);
      expect(await bytesOf(resumed)).toEqual(await bytesOf(whole));
      expect(await readTable(resumed.outputs["log"]!)).toEqual(await readTable(whole.outputs["log"]!));
    },
  );

  it("keeps the epoch that answers validation questions best, and goes on with it from a checkpoint", async () => {
    const params = { epochs: 5, learningRate: 8e-3, selection: "best_val" };
    const inputs = { train: world.tokens.train, val: world.tokens.test };
    const run = await train(params, { inputs });
    const scores = (await readTable(run.outputs["log"]!)).map(({ valScore }) => valScore as number);
    expect(scores).toHaveLength(5);
    expect(new Set(scores).size).toBeGreaterThan(1);
    expect((await measured(run, world.tokens.test))["accDrop"]).toBe(Math.max(...scores));
    // One that the best epoch comes after, and one that it comes before.
    const { total } = run.progress.at(-1)!;
    for (const stop of [2, total - 1]) {
      const checkpoints = await mkdtemp(join(tmpdir(), "ranflow-checkpoints-"));
      await expect(train(params, { inputs, checkpoints, abortAtAsk: stop })).rejects.toThrow("stopped");
      expect(await bytesOf(await train(params, { inputs, checkpoints }))).toEqual(await bytesOf(run));
    }
    const problem = vqaTrain.checkInputs?.(vqaTrain.params.parse(params) as never, ["train"]);
    expect(problem).toContain("bind `val`");
  });

  it("says what to try when training diverges", async () => {
    const failed = train({ learningRate: 1e30, headFactor: 1e8, warmup: 0 });
    await expect(failed).rejects.toThrow(
      /diverged: the (loss|gradient) is not a finite number at step \d+ of/,
    );
    await expect(failed).rejects.toMatchObject({ hint: expect.stringContaining("learningRate") });
  });

  it("needs questions with more than one answer", async () => {
    const { header, records } = await readQuestions(world.questions.train);
    const only = async (kept: typeof records): Promise<string> => {
      const path = join(world.folder, `only-${kept.length}.jsonl`);
      await writeQuestions(path, header, kept);
      const { outputs } = await runNode(clipEmbedQuestions, {
        inputs: { model: world.model, questions: path },
        folder: world.folder,
        backend: "wasm",
      });
      return outputs["tokens"]!;
    };
    const open = await only(records.filter(({ answerType }) => answerType === "open").slice(0, 3));
    await expect(train({}, { inputs: { train: open } })).rejects.toThrow(
      "the 0 closed questions among 3 of slake (train) have no answer",
    );
    const yes = await only(records.filter(({ answer }) => answer === "Yes").slice(0, 4));
    await expect(train({}, { inputs: { train: yes } })).rejects.toThrow("have one answer alone");
  });

  it.each<[JsonObject, string]>([
    [{ heads: 5 }, "width 768 is no multiple of the 5 heads"],
    [{ method: "probe", alpha: 0.5 }, "method probe does not use alpha"],
    [{ method: "ran", advFeature: "f" }, "makes L_ADV a constant"],
    [{ method: "mlp", batchSize: 1 }, "batchSize 1"],
    [{ method: "ran", classifier: "meter" }, "classifier meter takes the place of the linear probe"],
  ])("refuses %o", (params, message) => {
    expect(vqaTrain.check?.(vqaTrain.params.parse(params) as never)).toContain(message);
  });

  it("has the sizes of METER unless told", () => {
    const params = vqaTrain.params.parse({ method: "ran", alpha: 0.02 });
    expect(params).toMatchObject({ layers: 6, width: 768, heads: 12, batchSize: 32, epochs: 20 });
    expect(vqaTrain.check?.(params as never)).toBeUndefined();
  });
});

describe("evaluate.vqa", () => {
  let run: NodeRun;
  beforeAll(async () => {
    run = await train({ epochs: 4 });
  });

  it("asks the test split in domain and another dataset out of domain", async () => {
    const header = await headerOf(world.tokens.rad);
    const closed = header.records.filter(({ answerType }) => answerType === "closed").length;
    expect(await measured(run, world.tokens.test)).toMatchObject({
      dataset: "slake",
      split: "test",
      domain: "id",
    });
    const ood = await measured(run, world.tokens.rad);
    expect(ood).toMatchObject({ dataset: "vqa-rad", domain: "ood", n: closed, coverage: 1 });
    expect(ood["acc"]).toBe(ood["accDrop"]);
  });

  it("leaves out or counts as wrong what was never learnt", async () => {
    const metrics = await measured(run, world.tokens.test, { closedOnly: false });
    const { records } = await headerOf(world.tokens.test);
    const learnt = records.filter(({ answer }) =>
      ["yes", "no", "left", "right"].includes(answer.toLowerCase()),
    );
    expect(metrics["n"]).toBe(records.length);
    expect(metrics["coverage"]).toBeCloseTo(learnt.length / records.length, 10);
    expect(metrics["coverage"]).toBeLessThan(1);
    expect(metrics["accWrong"]).toBeCloseTo(
      (metrics["accDrop"] as number) * (metrics["coverage"] as number),
      10,
    );
    expect(metrics["acc"]).toBe(metrics["accDrop"]);
    const wrong = await measured(run, world.tokens.test, { closedOnly: false, unseen: "wrong" });
    expect(wrong["acc"]).toBe(metrics["accWrong"]);
  });

  it("chooses among the answers that occur where it is told to", async () => {
    const all = await evaluate(run, world.tokens.rad, { yesNoOnly: true });
    const shared = await evaluate(run, world.tokens.rad, { yesNoOnly: true, restrictLogits: "shared" });
    const metrics = await readMetrics(shared.outputs["metrics"]!);
    expect(await readMetrics(all.outputs["metrics"]!)).toMatchObject({ answers: 4 });
    expect(metrics).toMatchObject({ answers: 2 });
    expect(metrics["n"]).toBe(metrics["yesNo"]);
    expect(metrics["acc"]).toBe(metrics["accYesNo"]);
    for (const row of await readTable(shared.outputs["predictions"]!)) {
      expect(["yes", "no"]).toContain(row["predicted"]);
    }
  });

  it("tells each question's answer, and the metrics follow from them", async () => {
    const { outputs } = await evaluate(run, world.tokens.test);
    const rows = await readTable(outputs["predictions"]!);
    const metrics = await readMetrics(outputs["metrics"]!);
    expect(rows).toHaveLength(metrics["n"] as number);
    expect(rows.filter(({ right }) => right === true).length / rows.length).toBeCloseTo(
      metrics["accWrong"] as number,
      10,
    );
    for (const row of rows) {
      expect(row["right"]).toBe(row["answer"] === row["predicted"]);
      expect(row["score"]).toBeGreaterThanOrEqual(0.25 - 1e-6);
    }
  });

  it("does not depend on how questions are batched, but for rounding", async () => {
    const scores = async (batchSize: number) =>
      (await readTable((await evaluate(run, world.tokens.test, { batchSize })).outputs["predictions"]!)).map(
        ({ score }) => score as number,
      );
    const alone = await scores(1);
    (await scores(64)).forEach((score, at) => expect(score).toBeCloseTo(alone[at]!, 4));
  });

  it("refuses tokens of another encoder, and tokens without the asked kind of question", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ranflow-tokens-"));
    const header = await headerOf(world.tokens.test);
    const { tensors } = await readSafetensors(join(world.tokens.test, "tokens.safetensors"));
    const text = tensors.get("text")!;
    await writeTokens(folder, header, {
      image: {
        shape: tensors.get("image")!.shape,
        data: toHalves(tensors.get("image")!.data as Float32Array),
      },
      text: { shape: [text.shape[0]!, 8], data: toHalves(new Float32Array(text.shape[0]! * 8)) },
    });
    await expect(measured(run, folder)).rejects.toThrow("text tokens of 16 values, and these have 24 and 8");
    const open = header.records.filter(({ answerType }) => answerType === "open");
    await writeTokens(
      folder,
      { ...header, records: open },
      {
        image: {
          shape: tensors.get("image")!.shape,
          data: toHalves(tensors.get("image")!.data as Float32Array),
        },
        text: { shape: text.shape, data: toHalves(text.data as Float32Array) },
      },
    );
    await expect(measured(run, folder)).rejects.toThrow(
      /none of the \d+ questions of slake \(test\) is closed/,
    );
  });

  it("says that a damaged file is damaged", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ranflow-tokens-"));
    const header = await headerOf(world.tokens.test);
    const one = { shape: [1, 1], data: toHalves(Float32Array.of(1)) };
    await writeTokens(folder, header, { image: { ...one, shape: [1, 1, 1] }, text: one });
    await expect(measured(run, folder)).rejects.toThrow(/does not hold the tokens of \d+ images/);
    const model = run.outputs["model"]!;
    const spoilt = await mkdtemp(join(tmpdir(), "ranflow-vqa-"));
    const { cp } = await import("node:fs/promises");
    await cp(model, spoilt, { recursive: true });
    await writeSafetensors(join(spoilt, "fusion.safetensors"), []);
    await expect(measured({ ...run, outputs: { model: spoilt } }, world.tokens.test)).rejects.toThrow(
      /tensor ".*" is not \[/,
    );
  });
});
