import { chmod, mkdtemp, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { createReadStream, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { extract } from "tar-stream";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import type { Digest, JsonObject, NodeType } from "../../engine/sdk.ts";
import { clipPretrainOpenClip } from "../../nodes/clip-pretrain-openclip.ts";
import type { PretrainOpenClipParams } from "../../nodes/clip-pretrain-openclip.ts";
import { clipPretrain } from "../../nodes/clip-pretrain.ts";
import { stepsPerEpoch } from "../../nodes/clip/training-plan.ts";
import { decodeForModel, decodeImage, resizeBicubic, toRgb } from "../../nodes/data/images.ts";
import { crop } from "../../nodes/data/raster.ts";
import { readyImages } from "../../nodes/data/ready-images.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import { launchCommand, planLaunch } from "../../nodes/openclip/launch.ts";
import { trainingPlan } from "../../nodes/openclip/plan.ts";
import { trainingSamples } from "../../nodes/openclip/samples.ts";
import { writeShards } from "../../nodes/openclip/shards.ts";
import type { ShardSample } from "../../nodes/openclip/shards.ts";
import { dullLines, trainingLine } from "../../nodes/openclip/training-lines.ts";
import { readTable } from "../../nodes/records.ts";
import { readSafetensors } from "../../nodes/safetensors.ts";
import { smallModels } from "../rig/clip-models.ts";
import type { FakeOpenClip } from "../rig/fake-open-clip.ts";
import { pictureWorld } from "../rig/picture-world.ts";
import type { PictureWorld } from "../rig/picture-world.ts";
import { runNode } from "../rig/run-node.ts";
import type { NodeRunOptions } from "../rig/run-node.ts";

const temporary = (): Promise<string> => mkdtemp(join(tmpdir(), "ranflow-open-clip-"));
const parsed = (params: JsonObject): PretrainOpenClipParams =>
  clipPretrainOpenClip.params.parse(params) as PretrainOpenClipParams;

/** A command that stands in for Python, and the calls that it has had. */
async function fakePython(behaviour: Omit<FakeOpenClip, "calls"> = {}) {
  const folder = await temporary();
  const [python, file, calls] = ["python", "behaviour.json", "calls.jsonl"].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  const script = join(import.meta.dirname, "..", "rig", "fake-open-clip.ts");
  await writeFile(file, JSON.stringify({ ...behaviour, calls }));
  await writeFile(
    python,
    `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${script}" "${file}" "$@"\n`,
  );
  await chmod(python, 0o755);
  return {
    python,
    async calls() {
      const text = existsSync(calls) ? await readFile(calls, "utf8") : "";
      return text
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { args: string[]; options: string[] });
    },
  };
}

/** The members of a shard by name, in order. */
async function membersOf(path: string): Promise<Map<string, Buffer>> {
  const members = new Map<string, Buffer>();
  const entries = extract();
  createReadStream(path).pipe(entries);
  for await (const entry of entries) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    members.set(entry.header.name, Buffer.concat(chunks));
  }
  return members;
}

/** What NumPy reads from `.npy`. */
function numbers(bytes: Uint8Array): { header: string; values: Int32Array | Float32Array } {
  const buffer = Buffer.from(bytes);
  const begin = 10 + buffer.readUInt16LE(8);
  const header = buffer.toString("latin1", 10, begin);
  const body = new Uint8Array(buffer.subarray(begin)).buffer;
  return { header, values: header.includes("<i4") ? new Int32Array(body) : new Float32Array(body) };
}

async function* samplesOf(...samples: ShardSample[]): AsyncGenerator<ShardSample> {
  yield* samples;
}

describe("shards", () => {
  it("are tar archives that split after so many samples", async () => {
    const folder = await temporary();
    const samples = [0, 1, 2, 3, 4].map((i) => ({ txt: `caption ${i}`, png: Buffer.alloc(600 * i, i) }));
    const paths = await writeShards(folder, samplesOf(...samples), 2);
    expect(paths.map((path) => path.slice(folder.length + 1))).toEqual([
      "00000.tar",
      "00001.tar",
      "00002.tar",
    ]);
    const second = await membersOf(paths[1]!);
    expect([...second.keys()]).toEqual(["00000002.txt", "00000002.png", "00000003.txt", "00000003.png"]);
    expect(second.get("00000003.png")).toEqual(Buffer.alloc(1800, 3));
    expect((await stat(paths[1]!)).size % 512).toBe(0);
  });

  it("have the same bytes each time", async () => {
    const write = async () =>
      (await writeShards(await temporary(), samplesOf({ txt: "a" }, { txt: "b" })))[0]!;
    expect(await readFile(await write())).toEqual(await readFile(await write()));
  });

  it("pass on what goes wrong with samples and with the disk", async () => {
    const broken = async function* (): AsyncGenerator<ShardSample> {
      yield { txt: "a" };
      throw new Error("no more");
    };
    await expect(writeShards(await temporary(), broken())).rejects.toThrow("no more");
    await expect(writeShards("/nowhere/at/all", samplesOf({ txt: "a" }))).rejects.toThrow(/ENOENT/);
  });
});

describe("samples", () => {
  const config = smallModels.vit;
  const digest = `sha256:${"0".repeat(64)}` as Digest;
  const make = async (name: string, bytes: Buffer, augment: boolean, noise = false) => {
    const path = join(await temporary(), name);
    await writeFile(path, bytes);
    const tokens = new Int32Array(config.text_cfg.context_length);
    tokens.set([1, 5, config.text_cfg.vocab_size - 1]);
    const pair = { id: "p", image: { digest, size: 1 }, caption: "a heart" };
    const source = {
      pair: noise ? { ...pair, captionNoise: { relSigma: 0.5, seed: 3 } } : pair,
      file: { digest, size: bytes.length, path },
      tokens,
    };
    const sizes: object[] = [];
    const options = { augment, spread: 2, onSize: (size: object) => sizes.push(size) };
    const made: ShardSample[] = [];
    for await (const sample of trainingSamples([source], config, options)) made.push(sample);
    return { sample: made[0]!, sizes, path };
  };
  const noisePixels = (length: number) => Buffer.from(Array.from({ length }, (_, i) => (i * 7919) % 251));
  const grey = () => sharp(noisePixels(30 * 20), { raw: { width: 30, height: 20, channels: 1 } });

  it("hold captions, tokens without padding, and the noise of their embeddings", async () => {
    const { sample } = await make("a.png", await grey().toColourspace("b-w").png().toBuffer(), true, true);
    expect(sample["txt"]).toBe("a heart");
    const tokens = [1, 5, config.text_cfg.vocab_size - 1];
    expect(JSON.parse(String(sample["json"]))).toEqual({ id: "p", tokens, nearest: false });
    const { header, values } = numbers(sample["noise.npy"] as Uint8Array);
    expect(header).toContain(`'shape': (3, ${config.text_cfg.width})`);
    const deviation = Math.sqrt([...values].reduce((sum, value) => sum + value ** 2, 0) / values.length);
    expect(deviation).toBeGreaterThan(0.7);
    expect(deviation).toBeLessThan(1.3);
  });

  it("hold image files as they are, where Python reads them as ranflow does", async () => {
    const png = await grey().toColourspace("b-w").png().toBuffer();
    const jpeg = await grey().toColourspace("b-w").jpeg().toBuffer();
    const { sample, sizes } = await make("a.png", png, true);
    expect(Buffer.from(sample["png"] as Uint8Array)).toEqual(png);
    expect(sizes).toMatchObject([{ width: 30, height: 20 }]);
    expect(Buffer.from((await make("a", jpeg, true)).sample["jpg"] as Uint8Array)).toEqual(jpeg);
  });

  it("hold other images as PNG of their samples", async () => {
    const { sample, path } = await make("a.tiff", await grey().toColourspace("b-w").tiff().toBuffer(), true);
    const png = join(await temporary(), "a.png");
    await writeFile(png, sample["png"] as Uint8Array);
    expect(await decodeImage(png)).toEqual(await decodeImage(path));
    const gif = await make("a.gif", await grey().gif().toBuffer(), true);
    expect(JSON.parse(String(gif.sample["json"]))).toMatchObject({ nearest: true });
  });

  it("hold what the evaluation transform makes of images that are not cropped", async () => {
    const { sample, path } = await make("a.png", await grey().png().toBuffer(), false);
    const { image_size: size } = config.vision_cfg;
    const raw = await sharp(sample["png"] as Uint8Array)
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(raw.info).toMatchObject({ width: size, height: size, channels: 3 });
    expect(new Uint8Array(raw.data)).toEqual(await decodeForModel(path, size));
  });
});

describe("the plan", () => {
  it("names the pairs of each batch and the crops that clip.pretrain takes", async () => {
    const world = await pictureWorld();
    const path = join(world.folder, "blobs", (await readdir(join(world.folder, "blobs")))[0]!);
    const raster = await decodeImage(path);
    const pairs = Array.from({ length: 7 }, (_, i) => ({ id: `p${i}`, size: raster }));
    const options = { epochs: 2, perEpoch: 3, batchSize: 2, seed: 5, augment: true };
    const { header, values } = numbers(trainingPlan(pairs, options));
    expect(header).toContain("'shape': (2, 6, 5)");
    for (const epoch of [0, 1]) {
      const rows = Array.from({ length: 6 }, (_, i) =>
        values.slice((epoch * 6 + i) * 5, (epoch * 6 + i) * 5 + 5),
      );
      expect(new Set(rows.map(([index]) => index)).size).toBe(6);
      const [index = 0, left = 0, top = 0, width = 0, height = 0] = rows[0]!;
      const ready = readyImages({ size: 16, memory: 0 });
      const cropped = toRgb(resizeBicubic(crop(raster, { left, top, width, height }), 16, 16));
      expect(await ready({ id: pairs[index]!.id, path, crop: { seed: 5, epoch } })).toEqual(cropped);
    }
  });

  it("takes the rest of an epoch where it is wanted, and no crops where there are none", () => {
    const pairs = Array.from({ length: 7 }, (_, i) => ({ id: `p${i}`, size: { width: 9, height: 9 } }));
    const perEpoch = stepsPerEpoch(7, { batchSize: 4, dropLast: false });
    const plan = trainingPlan(pairs, { epochs: 1, perEpoch, batchSize: 4, seed: 1, augment: false });
    const { header, values } = numbers(plan);
    expect(header).toContain("'shape': (1, 7, 1)");
    expect(new Set(values)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
  });
});

describe("OpenCLIP's log", () => {
  const step =
    "2026-11-28,18:38:06 | INFO | Train Epoch: 3 [ 64/112 (57%)] Data (t): 0.008 Batch (t): 0.185, 86.6118/s, 43.3059/s/gpu " +
    "LR: 0.000200 Logit Scale: 14.286 Contrastive_loss: 3.0924 (3.2292) Loss: 3.1924 (3.2292)";

  it("tells of epochs and steps", () => {
    expect(trainingLine("2026-11-28,18:38:06 | INFO | Start epoch 3")).toEqual({ kind: "epoch", epoch: 3 });
    expect(trainingLine(step)).toEqual({
      kind: "step",
      epoch: 3,
      loss: 3.1924,
      scale: 14.286,
      rate: 86.6118,
    });
    expect(trainingLine(step.replaceAll("3.1924", "nan"))).toMatchObject({ loss: NaN });
    expect(trainingLine(step.replace("86.6118/s", "1.2e+03/s"))).toMatchObject({ rate: 1200 });
    expect(
      trainingLine("2026-11-28,18:38:06 | INFO | Created AdamW (adamw) optimizer: lr: 0.001"),
    ).toBeUndefined();
  });

  it("is shown without the model, the options and what torch tells of itself", () => {
    const isDull = dullLines();
    const lines = [
      "x | INFO | Running with a single process. Device cpu.",
      "x | INFO | Model:",
      "CLIP(",
      "  (visual): VisionTransformer(",
      "x | INFO | Params:",
      "x | INFO |   accum_freq: 1",
      "x | INFO | Created AdamW",
      "[rank0]:I1128 18:38:05.926000 1 torch/nn/parallel/distributed.py:1776] Reducer buckets have been rebuilt",
      "Traceback (most recent call last):",
    ];
    expect(lines.filter((line) => !isDull(line))).toEqual([lines[0], lines[6], lines[8]]);
  });
});

describe("where a training runs", () => {
  const plan = (params: JsonObject, { gpus = 0, env = {}, pairs = 64 } = {}) =>
    planLaunch(parsed(params), { gpus, env, pairs });

  it("is on all GPUs of the step, on processors without, and on all machines of a Slurm allocation", () => {
    expect(plan({})).toEqual({ device: "cpu", machines: 1, processes: 1 });
    expect(plan({}, { gpus: 4 })).toEqual({ device: "cuda", machines: 1, processes: 4 });
    expect(plan({ device: "cpu", processes: 2 }, { gpus: 4 })).toEqual({
      device: "cpu",
      machines: 1,
      processes: 2,
    });
    const env = { SLURM_JOB_NUM_NODES: "2" };
    expect(plan({}, { gpus: 4, env })).toEqual({ device: "cuda", machines: 2, processes: 4 });
    expect(plan({ machines: 1 }, { gpus: 4, env })).toMatchObject({ machines: 1 });
  });

  it.each([
    [{ device: "cuda" }, {}, /torch sees none/],
    [{ processes: 3 }, { gpus: 2 }, /more GPUs than there are for this step \(2\)/],
    [{ machines: 2 }, {}, /more than this step has \(1\)/],
    [{ batchSize: 10 }, { gpus: 4 }, /batches of 10 cannot be shared out evenly between 4 processes/],
    [{ batchSize: 8, accumulation: 3 }, { gpus: 4 }, /4 processes with `accumulation: 3`/],
    [{ batchSize: 4, dropLast: false }, { gpus: 4, pairs: 10 }, /the last batch of an epoch, of 2 pairs/],
  ])("cannot be %j %j", (params, options, message) => {
    expect(() => plan(params, options as never)).toThrow(message);
  });

  it("is told to torchrun, which Slurm starts on each of several machines", () => {
    const script = ["train.py", "settings.json"];
    const options = { env: {}, rendezvous: "node1:1234", script };
    expect(launchCommand("/py", { machines: 1, processes: 2 }, options)).toEqual([
      "/py",
      "-m",
      "torch.distributed.run",
      "--nproc-per-node=2",
      "--standalone",
      ...script,
    ]);
    const env = { SLURM_JOB_ID: "77", SLURM_CPUS_PER_TASK: "8" };
    const command = launchCommand("/py", { machines: 2, processes: 4 }, { ...options, env });
    expect(command.join(" ")).toBe(
      "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=8 --kill-on-bad-exit=1 --overlap --export=ALL " +
        "/py -m torch.distributed.run --nproc-per-node=4 --nnodes=2 --rdzv-backend=c10d --rdzv-endpoint=node1:1234 " +
        "--rdzv-id=77 train.py settings.json",
    );
  });
});

describe("clip.pretrain-openclip", () => {
  let world: PictureWorld;
  let init: string;
  const run = (options: NodeRunOptions, type: NodeType = clipPretrainOpenClip) =>
    runNode(type, { backend: "cpu", ...options, folder: world.folder });
  const train = (python: string, params: JsonObject = {}, options: NodeRunOptions = {}) =>
    run({
      params: { epochs: 3, batchSize: 4, warmup: 2, python, ...params },
      inputs: { pairs: world.pairs, init },
      ...options,
    });

  beforeAll(async () => {
    world = await pictureWorld();
    const arch = {
      embed_dim: 16,
      vision_cfg: { image_size: 16, layers: 1, width: 16, head_width: 16, patch_size: 8 },
      text_cfg: { context_length: 24, vocab_size: 560, width: 16, heads: 2, layers: 1 },
    };
    const made = await run({ params: { arch }, inputs: { captions: world.pairs } }, modelClip);
    init = made.outputs["model"]!;
  });

  it("has the ports and parameters of clip.pretrain", () => {
    expect(Object.keys(clipPretrainOpenClip.params.shape)).toEqual(
      expect.arrayContaining(Object.keys(clipPretrain.params.shape)),
    );
    const types = ({ inputs, outputs }: NodeType) =>
      [inputs, outputs].map((ports) => Object.entries(ports).map(([name, { type }]) => [name, type]));
    expect(types(clipPretrainOpenClip)).toEqual(types(clipPretrain));
  });

  it("refuses Adam with weight decay", () => {
    const check = (params: JsonObject) => clipPretrainOpenClip.check?.(parsed(params) as never);
    expect(check({ optimizer: "adam", weightDecay: 0.1 })).toMatch(/no Adam with weight decay/);
    expect(check({ optimizer: "adam" })).toBeUndefined();
    expect(check({ weightDecay: 0.1 })).toBeUndefined();
  });

  it("trains, tells how it goes, and imports the last checkpoint", async () => {
    const { python, calls } = await fakePython();
    const { outputs, logs, progress, provenance } = await train(python, { accumulation: 2, recompute: true });
    expect(await readdir(outputs["model"]!)).toEqual(
      expect.arrayContaining(["merges.txt", "open_clip_config.json", "open_clip_model.safetensors"]),
    );
    const weights = (path: string) => readSafetensors(join(path, "open_clip_model.safetensors"));
    const [before, after] = [await weights(init), await weights(outputs["model"]!)];
    expect(after.tensors.get("logit_scale")?.data[0]).toBe(3);
    expect(after.tensors.get("visual.proj")).toEqual(before.tensors.get("visual.proj"));

    const rows = await readTable(outputs["log"]!);
    expect(rows).toHaveLength(9);
    expect(rows[4]).toEqual({
      step: 5,
      epoch: 2,
      loss: 2.96,
      learningRate: expect.any(Number),
      logitScale: Math.log(14.286),
    });
    expect(progress.at(-1)).toMatchObject({
      done: 9,
      total: 9,
      series: { loss: 2.92, epoch: 3, "examples/s": 86.6118 },
    });
    expect(logs).toContain("epoch 3 of 3: loss 2.9300");
    expect(logs.join("\n")).not.toMatch(/VisionTransformer|accum_freq|Train Epoch/);
    expect(provenance).toMatchObject({
      backend: "openclip-cpu",
      processes: 1,
      torch: "2.9.0",
      open_clip: "3.1.0",
    });

    const [{ args, options } = { args: [], options: [] }] = await calls();
    expect(args.slice(0, 4)).toEqual(["-m", "torch.distributed.run", "--nproc-per-node=1", "--standalone"]);
    const text = options.join(" ");
    for (const part of [
      "--batch-size 2 --accum-freq 2 --epochs 3 --lr 0.0005 --warmup 2 --lr-scheduler cosine --opt adamw --wd 0.2",
      "--beta1 0.9 --beta2 0.98 --eps 0.000001 --precision fp32",
      "--gather-with-grad --grad-checkpointing --log-every-n-steps 1",
      "--device cpu",
    ])
      expect(text).toContain(part);
  });

  it("goes on from the last complete epoch after it was stopped", async () => {
    const checkpoints = await temporary();
    const whole = await train((await fakePython()).python);
    const hanging = await fakePython({ hangAt: 5 });
    await expect(train(hanging.python, {}, { checkpoints, abortAtProgress: 5 })).rejects.toThrow(
      "stopped by the test",
    );
    const again = await fakePython();
    const { outputs, logs } = await train(again.python, {}, { checkpoints });
    expect(logs).toContain("going on from epoch 1 of 3");
    expect((await again.calls())[0]?.options).toContain("--resume");
    expect(await readTable(outputs["log"]!)).toEqual(await readTable(whole.outputs["log"]!));
  });

  it("keeps what is complete of a training that failed, and says what Python said", async () => {
    const checkpoints = await temporary();
    const lines = [
      "Traceback (most recent call last):",
      "[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
      "E1128 18:38:53.188000 17033 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1) local_rank: 0",
      "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
      "Root Cause (first observed failure):",
    ];
    const failing = await fakePython({ failAt: { step: 7, lines, code: 1 } });
    await expect(train(failing.python, {}, { checkpoints })).rejects.toMatchObject({
      message:
        "OpenCLIP's training failed: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
      hint: expect.stringContaining("`accumulation`"),
    });
    const { logs } = await train((await fakePython()).python, {}, { checkpoints });
    expect(logs).toContain("going on from epoch 2 of 3");
  });

  it("says that the system killed a process of it", async () => {
    const lines = [
      "E1128 18:38:53.1 1 torch/distributed/elastic/multiprocessing/api.py:1] failed (exitcode: -9) local_rank: 1",
    ];
    const { python } = await fakePython({ failAt: { step: 0, lines, code: 1 } });
    await expect(train(python)).rejects.toMatchObject({
      message: expect.stringContaining("open_clip_train was ended by SIGKILL"),
      hint: expect.stringContaining("memory runs out"),
    });
  });

  it("stops a training that diverges", async () => {
    const { python } = await fakePython({ nanAt: 4, hangAt: 5 });
    await expect(train(python)).rejects.toMatchObject({
      message: "training diverged: the loss is not a finite number at step 5 of 9",
      hint: expect.stringContaining("learningRate"),
    });
  });

  it("gives the initial model back after no epochs, without Python", async () => {
    const { outputs } = await train("/nowhere/python", { epochs: 0 });
    expect(await readFile(join(outputs["model"]!, "open_clip_model.safetensors"))).toEqual(
      await readFile(join(init, "open_clip_model.safetensors")),
    );
  });

  it.each([
    [
      "packages are missing",
      { python: "3.11.2", absent: ["torch", "open_clip", "webdataset", "open_clip_train"], broken: {} },
      /the Python 3\.11\.2 at .*python lacks torch, open_clip, webdataset, open_clip_train$/,
      /-m pip install torch 'open_clip_torch\[training\]'`/,
    ],
    [
      "a package does not work",
      {
        python: "3.11.2",
        absent: [],
        broken: { open_clip: "RuntimeError: operator torchvision::nms does not exist" },
      },
      /cannot import open_clip \(RuntimeError: operator torchvision::nms does not exist\)/,
      /pip install/,
    ],
    [
      "open_clip is old",
      {
        python: "3.11.2",
        absent: [],
        broken: {},
        versions: { torch: "2.0.0", open_clip: "2.24.0" },
        gpus: 0,
      },
      /has open_clip 2\.24\.0, and version 3 or later is needed/,
      /--upgrade/,
    ],
    ["it is no Python", "hello", /does not answer as a Python does/, /RANFLOW_PYTHON/],
  ])("says what to do where %s", async (_, probe, message, hint) => {
    const { python, calls } = await fakePython({ probe });
    await expect(train(python)).rejects.toMatchObject({
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
    expect(await calls()).toEqual([]);
  });

  it("says what to do where there is no Python", async () => {
    await expect(train("python-that-is-not-there")).rejects.toMatchObject({
      message: expect.stringContaining("there is no program `python-that-is-not-there`"),
      hint: expect.stringContaining("the parameter `python`"),
    });
  });
});
