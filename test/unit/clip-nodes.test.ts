import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { attackImagePgd } from "../../nodes/attack-image-pgd.ts";
import { clipEmbedImages } from "../../nodes/clip-embed-images.ts";
import { clipPretrain } from "../../nodes/clip-pretrain.ts";
import { parameterShapes } from "../../nodes/clip/shapes.ts";
import { parseClipConfig } from "../../nodes/clip/config-json.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import { readImages, readPairs, readTable, writePairs } from "../../nodes/records.ts";
import { noiseOrder } from "../../nodes/noise-order.ts";
import { noiseRandom } from "../../nodes/noise-random.ts";
import { readSafetensors, writeSafetensors } from "../../nodes/safetensors.ts";
import { NodeError } from "../../engine/sdk.ts";
import type { NodeType } from "../../engine/sdk.ts";
import { pictureWorld } from "../rig/picture-world.ts";
import { runNode } from "../rig/run-node.ts";
import type { NodeRunOptions } from "../rig/run-node.ts";

const arch = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 2, width: 32, head_width: 16, patch_size: 8 },
  text_cfg: { context_length: 24, vocab_size: 560, width: 32, heads: 2, layers: 1 },
};

/** A small world, and a model for it. */
let folder: string;
let pairsPath: string;
let targetsPath: string;
let imagesPath: string;
let modelPath: string;

const run = (type: NodeType, options: NodeRunOptions) =>
  runNode(type, { backend: "wasm", ...options, folder });

beforeAll(async () => {
  const world = await pictureWorld();
  ({ folder, pairs: pairsPath, targets: targetsPath, images: imagesPath } = world);
  modelPath = (await run(modelClip, { params: { arch }, inputs: { captions: pairsPath } })).outputs["model"]!;
});

const weightsOf = (path: string) => readFile(join(path, "open_clip_model.safetensors"));

describe("model.clip", () => {
  it("makes a checkpoint with OpenCLIP's keys and shapes, a learned vocabulary and its size", async () => {
    const config = parseClipConfig(
      JSON.parse(await readFile(join(modelPath, "open_clip_config.json"), "utf8")),
      "config",
      undefined,
    );
    const merges = (await readFile(join(modelPath, "merges.txt"), "utf8")).trim().split("\n").length - 1;
    expect(config.text_cfg.vocab_size).toBe(514 + merges);
    const { tensors } = await readSafetensors(join(modelPath, "open_clip_model.safetensors"));
    expect(new Map([...tensors].map(([name, { shape }]) => [name, shape]))).toEqual(
      new Map([...parameterShapes(config)].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    );
  });

  it("gives the same bytes for the same seed, others for another", async () => {
    const again = await run(modelClip, { params: { arch }, inputs: { captions: pairsPath } });
    const other = await run(modelClip, { params: { arch }, inputs: { captions: pairsPath }, seed: 8 });
    expect(await weightsOf(again.outputs["model"]!)).toEqual(await weightsOf(modelPath));
    expect(await weightsOf(other.outputs["model"]!)).not.toEqual(await weightsOf(modelPath));
  });

  it("loads its own output as a checkpoint, unchanged", async () => {
    const loaded = await run(modelClip, { params: { checkpoint: modelPath } });
    for (const name of ["open_clip_model.safetensors", "open_clip_config.json", "merges.txt"]) {
      expect(await readFile(join(loaded.outputs["model"]!, name))).toEqual(
        await readFile(join(modelPath, name)),
      );
    }
  });

  it("resizes the positions to another image size", async () => {
    const loaded = await run(modelClip, { params: { checkpoint: modelPath, imageSize: 32 } });
    const { tensors } = await readSafetensors(join(loaded.outputs["model"]!, "open_clip_model.safetensors"));
    expect(tensors.get("visual.positional_embedding")?.shape).toEqual([17, 32]);
  });

  it("lists everything that does not fit another architecture at once", async () => {
    const wrong = { ...arch, embed_dim: 20, vision_cfg: { ...arch.vision_cfg, layers: 3 } };
    const failed = run(modelClip, { params: { arch: wrong, checkpoint: modelPath } });
    await expect(failed).rejects.toThrow(NodeError);
    await expect(failed).rejects.toThrow(/12 missing .*resblocks\.2.*visual\.proj is \[32, 16\]/);
  });

  it("names a truncated file", async () => {
    const broken = await mkdtemp(join(tmpdir(), "ranflow-broken-"));
    const whole = await weightsOf(modelPath);
    await writeFile(join(broken, "model.safetensors"), whole.subarray(0, whole.length - 100));
    await expect(
      run(modelClip, {
        params: { arch, checkpoint: broken, vocab: "learned" },
        inputs: { captions: pairsPath },
      }),
    ).rejects.toThrow(/model\.safetensors is truncated: tensor ".*" lies at bytes/);
  });

  it.each([
    ["resnet-nano", 64, "resnet", "clip"],
    ["biomedclip-nano", 32, "timm-vit", "bert"],
    ["pmc-clip-nano", 64, "resnet", "bert"],
  ])(
    "makes %s with random weights, which embeds, learns, and loads again",
    async (name, size, vision, text) => {
      const made = await run(modelClip, { params: { arch: name }, inputs: { captions: pairsPath } });
      const path = made.outputs["model"]!;
      const vocabulary = (await readFile(join(path, text === "bert" ? "vocab.txt" : "merges.txt"), "utf8"))
        .trim()
        .split("\n").length;
      const model = { path, folder: made.folder };
      const embedded = await run(clipEmbedImages, { inputs: { model: model.path, images: imagesPath } });
      expect(Object.keys(embedded.outputs)).toEqual(["features"]);
      const trained = await run(clipPretrain, {
        params: { epochs: 2, batchSize: 4, learningRate: 2e-3, warmup: 1 },
        inputs: { pairs: pairsPath, init: model.path },
      });
      const losses = (await readTable(trained.outputs["log"]!)).map(({ loss }) => Number(loss));
      expect(losses.every(Number.isFinite)).toBe(true);
      const again = await run(modelClip, { params: { checkpoint: trained.outputs["model"]! } });
      const config = JSON.parse(
        await readFile(join(again.outputs["model"]!, "open_clip_config.json"), "utf8"),
      ) as { model_cfg: { vision_cfg: Record<string, unknown>; text_cfg: Record<string, unknown> } };
      const { text_cfg, vision_cfg } = config.model_cfg;
      expect(vision_cfg["image_size"]).toBe(size);
      expect("timm_model_name" in vision_cfg).toBe(vision === "timm-vit");
      expect(Array.isArray(vision_cfg["layers"])).toBe(vision === "resnet");
      expect("hf_model_name" in text_cfg).toBe(text === "bert");
      expect(text_cfg["vocab_size"]).toBe(text === "bert" ? vocabulary : 514 + vocabulary - 1);
      expect(await weightsOf(again.outputs["model"]!)).toEqual(await weightsOf(trained.outputs["model"]!));
    },
  );

  it("reads what an architecture is from its fields, as OpenCLIP does", async () => {
    const written = {
      embed_dim: 12,
      vision_cfg: { image_size: 32, layers: [1, 2, 1, 1], width: 4, head_width: 32 },
      text_cfg: { hf_model_name: "bert", vocab_size: 300, width: 16, heads: 2, layers: 1 },
    };
    const made = await run(modelClip, { params: { arch: written }, inputs: { captions: pairsPath } });
    const { tensors } = await readSafetensors(join(made.outputs["model"]!, "open_clip_model.safetensors"));
    expect(tensors.get("visual.layer2.1.conv1.weight")?.shape).toEqual([8, 32, 1, 1]);
    expect(tensors.get("text.transformer.encoder.layer.0.intermediate.dense.weight")?.shape).toEqual([
      64, 16,
    ]);
    const parse = (change: object): unknown => modelClip.params.parse({ arch: { ...written, ...change } });
    expect(() => parse({ text_cfg: { ...written.text_cfg, hf_model_name: "roberta-base" } })).toThrow();
    expect(() => parse({ vision_cfg: { ...written.vision_cfg, layers: [1, 2, 1] } })).toThrow();
  });

  it("asks for an architecture, and for captions to learn from", async () => {
    expect(modelClip.check?.(modelClip.params.parse({}) as never)).toMatch(/`arch` or `checkpoint`/);
    await expect(run(modelClip, { params: { arch } })).rejects.toThrow(/no captions are bound/);
  });
});

describe("clip.pretrain", () => {
  const params = { epochs: 4, batchSize: 4, learningRate: 2e-3, warmup: 2 };
  const inputs = () => ({ pairs: pairsPath, init: modelPath });

  it("lowers the loss and logs it", async () => {
    const { outputs, progress } = await run(clipPretrain, {
      params: { ...params, epochs: 25, augment: false },
      inputs: inputs(),
    });
    const log = await readTable(outputs["log"]!);
    expect(log).toHaveLength(75);
    const mean = (rows: typeof log) => rows.reduce((sum, row) => sum + Number(row["loss"]), 0) / rows.length;
    expect(mean(log.slice(-6))).toBeLessThan(0.7 * mean(log.slice(0, 6)));
    expect(progress.at(-1)).toMatchObject({ done: 75, total: 75 });
    expect(Object.keys(progress.at(-1)?.series ?? {})).toEqual([
      "loss",
      "lr",
      "grad norm",
      "logit scale",
      "examples/s",
    ]);
  });

  it("ends with the same bytes after an interruption as without one", async () => {
    const whole = await run(clipPretrain, { params, inputs: inputs() });
    const checkpoints = await mkdtemp(join(tmpdir(), "ranflow-checkpoints-"));
    const controller = new AbortController();
    const stopping: AbortSignal = controller.signal;
    let asked = 0;
    const interrupted = run(
      {
        ...clipPretrain,
        run: (context) =>
          clipPretrain.run({
            ...(context as object),
            progress: () => {
              if (++asked === 7) controller.abort();
            },
          } as never),
      },
      { params, inputs: inputs(), checkpoints, signal: stopping },
    );
    await expect(interrupted).rejects.toThrow();
    const resumed = await run(clipPretrain, { params, inputs: inputs(), checkpoints });
    expect(resumed.logs).toContain("going on from step 7 of 12");
    expect(await weightsOf(resumed.outputs["model"]!)).toEqual(await weightsOf(whole.outputs["model"]!));
    expect(await readFile(resumed.outputs["log"]!)).toEqual(await readFile(whole.outputs["log"]!));
  });

  it("trains on captions with random noise, the same in every run", async () => {
    const noisy = await run(noiseRandom, { params: { relSigma: 0.5 }, inputs: { pairs: pairsPath } });
    const train = async (pairs: string): Promise<Buffer> => {
      const { outputs } = await run(clipPretrain, { params, inputs: { pairs, init: modelPath } });
      return weightsOf(outputs["model"]!);
    };
    const once = await train(noisy.outputs["pairs"]!);
    expect(await train(noisy.outputs["pairs"]!)).toEqual(once);
    expect(await train(pairsPath)).not.toEqual(once);
  });

  it("keeps the model as it is with no epochs", async () => {
    const { outputs } = await run(clipPretrain, { params: { epochs: 0 }, inputs: inputs() });
    expect(await weightsOf(outputs["model"]!)).toEqual(await weightsOf(modelPath));
  });

  it("says what to try when training diverges", async () => {
    const { tensors } = await readSafetensors(join(modelPath, "open_clip_model.safetensors"));
    const poisoned = await mkdtemp(join(tmpdir(), "ranflow-nan-"));
    const spoilt = new Map(tensors);
    spoilt.set("visual.proj", { shape: [32, 16], data: new Float32Array(512).fill(NaN) });
    await writeSafetensors(join(poisoned, "open_clip_model.safetensors"), spoilt);
    for (const name of ["open_clip_config.json", "merges.txt"])
      await writeFile(join(poisoned, name), await readFile(join(modelPath, name)));
    const failed = run(clipPretrain, { params, inputs: { pairs: pairsPath, init: poisoned } });
    await expect(failed).rejects.toThrow(/diverged.*step 1 of 12/);
    await expect(failed).rejects.toMatchObject({ hint: expect.stringContaining("learningRate") });
  });

  it("refuses a batch that the pairs cannot fill", async () => {
    await expect(
      run(clipPretrain, { params: { ...params, batchSize: 64 }, inputs: inputs() }),
    ).rejects.toThrow(/14 pairs do not fill one batch of 64/);
  });
});

describe("clip.embed-images", () => {
  const embed = async (params: NodeRunOptions["params"]) => {
    const { outputs } = await run(clipEmbedImages, {
      params: params ?? {},
      inputs: { model: modelPath, images: imagesPath },
    });
    const path = outputs["features"]!;
    const { tensors } = await readSafetensors(join(path, "features.safetensors"));
    return { tensors, header: JSON.parse(await readFile(join(path, "features.json"), "utf8")) };
  };

  it("writes one row an image with ids and labels in order", async () => {
    const { tensors, header } = await embed({});
    const { records } = await readImages(imagesPath);
    expect(header).toMatchObject({ dataset: "test", feature: "projected", ids: records.map(({ id }) => id) });
    expect(tensors.get("features")?.shape).toEqual([5, 16]);
    expect([...(tensors.get("labels")?.data ?? [])]).toEqual([0, -1, 1, -1, 0, -1, 1, -1, 0, -1]);
    expect((await embed({ feature: "pre_proj" })).tensors.get("features")?.shape).toEqual([5, 32]);
  });

  it("does not depend on how images are batched, but for rounding", async () => {
    const together = (await embed({ batchSize: 5 })).tensors.get("features")!.data as Float32Array;
    const alone = (await embed({ batchSize: 1 })).tensors.get("features")!.data as Float32Array;
    alone.forEach((value, at) => expect(value).toBeCloseTo(together[at]!, 4));
  });
});

describe("attack.image-pgd", () => {
  const inputs = () => ({ pairs: pairsPath, targets: targetsPath, model: modelPath });
  const params = { steps: 5, batchSize: 4 };

  it("attacks the first of the order of noise, in dataset order, with captions as they were", async () => {
    const { outputs } = await run(attackImagePgd, { params: { ...params, percent: 40 }, inputs: inputs() });
    const clean = await readPairs(pairsPath);
    const attacked = await readPairs(outputs["pairs"]!);
    const chosen = new Set(
      noiseOrder(
        clean.map(({ id }) => id),
        7,
      ).slice(0, 6),
    );
    expect(attacked.map(({ id }) => id)).toEqual(clean.map(({ id }) => id).filter((id) => chosen.has(id)));
    for (const pair of attacked) {
      const before = clean.find(({ id }) => id === pair.id)!;
      expect(pair.caption).toBe(before.caption);
      expect(pair.image.digest).not.toBe(before.image.digest);
      const bytes = await readFile(join(folder, "blobs", pair.image.digest.slice(7)));
      expect(await sharp(bytes).metadata()).toMatchObject({
        format: "png",
        width: 16,
        height: 16,
        channels: 3,
      });
    }
  });

  it("comes nearer to the target within the radius", async () => {
    for (const [settings, largest] of [
      [{}, { linf: 8 / 255 + 0.5 / 255, l2: Infinity }],
      [
        { norm: "l2", eps: 0.5, alpha: 0.2 },
        { linf: 1, l2: 0.5 + (0.5 / 255) * Math.sqrt(768) },
      ],
      [
        { steps: 20, randomStart: true, boxClip: "final" },
        { linf: 8 / 255 + 0.5 / 255, l2: Infinity },
      ],
    ] as const) {
      const { outputs } = await run(attackImagePgd, { params: { ...params, ...settings }, inputs: inputs() });
      const report = await readTable(outputs["report"]!);
      const mean = (field: string) =>
        report.reduce((sum, row) => sum + Number(row[field]), 0) / report.length;
      expect(mean("cosAfter")).toBeGreaterThan(mean("cosBefore"));
      for (const row of report) {
        expect(row["linf"]).toBeLessThanOrEqual(largest.linf);
        expect(row["l2"]).toBeLessThanOrEqual(largest.l2);
      }
    }
  });

  it("gives the same images whatever share is attacked, and the same bytes again", async () => {
    const images = async (percent: number) => {
      const { outputs } = await run(attackImagePgd, { params: { ...params, percent }, inputs: inputs() });
      return new Map((await readPairs(outputs["pairs"]!)).map(({ id, image }) => [id, image.digest]));
    };
    const some = await images(30);
    const all = await images(100);
    expect(all.size).toBe(14);
    for (const [id, digest] of some) expect(all.get(id)).toBe(digest);
    expect(await images(100)).toEqual(all);
  });

  it("leaves images as they are with no steps", async () => {
    const { outputs } = await run(attackImagePgd, { params: { ...params, steps: 0 }, inputs: inputs() });
    for (const row of await readTable(outputs["report"]!)) expect(row["linf"]).toBe(0);
  });

  it("needs targets", async () => {
    const empty = join(folder, "empty.jsonl");
    await writePairs(empty, []);
    await expect(run(attackImagePgd, { params, inputs: { ...inputs(), targets: empty } })).rejects.toThrow(
      /no target images/,
    );
  });
});
