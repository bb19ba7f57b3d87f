import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import type { BlobRef, Json, JsonObject, NodeType } from "../../engine/sdk.ts";
import { attackCaptionLlm } from "../../nodes/attack-caption-llm.ts";
import { attackImagePgd } from "../../nodes/attack-image-pgd.ts";
import { backendNames, loadBackend } from "../../nodes/compute/runtime.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import { randomStream } from "../../nodes/random.ts";
import { writePairs } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";
import type { NodeRunOptions } from "../rig/run-node.ts";

/** Odd numbers of tokens and of heads: where kernels take values in packets, images begin in the middle of one. */
const arch = {
  embed_dim: 16,
  vision_cfg: { image_size: 24, layers: 2, width: 48, head_width: 16, patch_size: 8 },
  text_cfg: { context_length: 24, vocab_size: 560, width: 32, heads: 2, layers: 1 },
};
const params = { steps: 3, norm: "l2", eps: 0.5, alpha: 0.2, batchSize: 4 };

let folder: string;
let model: string;
const paths: Record<"few" | "all" | "targets", string> = { few: "", all: "", targets: "" };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-memo-"));
  const images: BlobRef[] = [];
  const maker = {
    type: "test.pictures",
    inputs: {},
    outputs: {},
    params: modelClip.params.partial(),
    async run({ blobs }: { blobs: { put(bytes: Uint8Array): Promise<BlobRef> } }) {
      for (let index = 0; index < 26; index++) {
        const random = randomStream(1, "picture", index);
        const pixels = Uint8Array.from({ length: 24 * 24 }, () => Math.floor(256 * random.next()));
        const png = sharp(pixels, { raw: { width: 24, height: 24, channels: 1 } }).png();
        images.push(await blobs.put(await png.toBuffer()));
      }
    },
  };
  await runNode(maker as unknown as NodeType, { folder });
  const pairs = images.map((image, index) => ({
    id: `p${index}`,
    image,
    caption: `left effusion in view ${index}`,
  }));
  for (const [name, records] of Object.entries({
    few: pairs.slice(0, 10),
    all: pairs.slice(0, 20),
    targets: pairs.slice(20),
  })) {
    const path = join(folder, `${name}.jsonl`);
    paths[name as keyof typeof paths] = path;
    await writePairs(path, records);
  }
  const made = await runNode(modelClip, { folder, params: { arch }, inputs: { captions: paths.all } });
  model = made.outputs["model"]!;
});

async function attack(settings: JsonObject = {}, options: NodeRunOptions & { of?: "few" | "all" } = {}) {
  const { outputs, provenance, logs } = await runNode(attackImagePgd, {
    backend: "wasm",
    ...options,
    folder,
    params: { ...params, ...settings },
    inputs: { pairs: paths[options.of ?? "all"], targets: paths.targets, model },
  });
  const bytes = async (): Promise<string[]> =>
    Promise.all(["pairs", "report", "metrics"].map((port) => readFile(outputs[port]!, "utf8")));
  return { items: provenance["items"], provenance, logs, bytes };
}

const bytesOf = async (settings: JsonObject, options: Parameters<typeof attack>[1] = {}): Promise<string[]> =>
  (await attack(settings, options)).bytes();

describe("attack.image-pgd", () => {
  it("pays for new images alone where the share is raised, and gives the bytes of a run from scratch", async () => {
    const memo = new Map<string, Json>();
    const first = await attack({ percent: 20 }, { memo });
    expect(first.items).toEqual({ made: 4, fromMemo: 0 });
    const second = await attack({ percent: 30 }, { memo });
    expect(second.items).toEqual({ made: 2, fromMemo: 4 });
    expect(second.logs.at(-1)).toBe("attacked 2 images, 4 more came from the memo");
    expect(await second.bytes()).toEqual(await bytesOf({ percent: 30 }));
    const third = await attack({ percent: 20 }, { memo });
    expect(third.items).toEqual({ made: 0, fromMemo: 4 });
    expect(await third.bytes()).toEqual(await first.bytes());
  });

  it("finds images again where the order of noise changes with the number of pairs", async () => {
    const memo = new Map<string, Json>();
    await attack({}, { memo, of: "few" });
    const all = await attack({}, { memo });
    expect(all.items).toEqual({ made: 10, fromMemo: 10 });
    expect(await all.bytes()).toEqual(await bytesOf({}));
  });

  it.each([
    ["one in three", (index: number) => index % 3 === 0],
    ["all", () => true],
  ])("takes over what others make meanwhile: %s", async (_, made) => {
    const whole = new Map<string, Json>();
    const expected = await bytesOf({}, { memo: whole });
    const others = [...whole.keys()].filter((_, index) => made(index));
    /** Has them from the second group on. */
    class Shared extends Map<string, Json> {
      override set(key: string, value: Json): this {
        for (const other of others) super.set(other, whole.get(other)!);
        return super.set(key, value);
      }
    }
    const run = await attack({}, { memo: new Shared() });
    const spared = (run.items as { fromMemo: number }).fromMemo;
    expect(spared).toBeGreaterThanOrEqual(others.length - params.batchSize);
    expect(await run.bytes()).toEqual(expected);
  });

  it("keeps nothing that another surrogate, target, seed of a random start, or setting would change", async () => {
    const memo = new Map<string, Json>();
    await attack({}, { memo });
    for (const [settings, seed, made] of [
      [{ steps: 4 }, 7, 20],
      [{ eps: 0.4 }, 7, 20],
      [{ boxClip: "final" }, 7, 20],
      [{ randomStart: true }, 7, 20],
      [{ randomStart: true }, 8, 20],
      [{ batchSize: 7 }, 7, 0],
    ] as const) {
      expect((await attack(settings, { memo, seed })).items, JSON.stringify(settings)).toMatchObject({
        made,
      });
    }
    // Another seed gives most images another target, and an image with the same target is the same work.
    const { items } = await attack({}, { memo, seed: 8 });
    expect((items as { made: number }).made).toBeGreaterThan(5);
  });

  for (const backend of backendNames) {
    it(`gives an image the same bytes whatever stands in its batch, and where: ${backend}`, async (context) => {
      context.skip(!(await loadBackend(backend, 1)).ok, `the backend ${backend} is not installed`);
      for (const settings of [{}, { norm: "linf", eps: 8 / 255, alpha: 1 / 255 }]) {
        const options = { backend, of: "few" } as const;
        const alone = await bytesOf({ ...settings, steps: 2, batchSize: 1 }, options);
        for (const batchSize of [3, 16]) {
          const together = await bytesOf({ ...settings, steps: 2, batchSize }, options);
          expect(together, `batches of ${batchSize}`).toEqual(alone);
        }
      }
    });
  }

  it("keeps what was finished when it is stopped, and goes on from there", async () => {
    const memo = new Map<string, Json>();
    await expect(attack({}, { memo, abortAtProgress: 9 })).rejects.toThrow(/stopped by the test/);
    // Two batches of four were whole when the third was stopped.
    expect(memo.size).toBe(8);
    const resumed = await attack({}, { memo });
    expect(resumed.items).toEqual({ made: 12, fromMemo: 8 });
    expect(await resumed.bytes()).toEqual(await bytesOf({}));
  });

  it("makes images again whose bytes were collected as garbage", async () => {
    const memo = new Map<string, Json>();
    await attack({ percent: 30 }, { memo });
    for (const [key, value] of [...memo].slice(0, 2)) {
      memo.set(key, JSON.parse(JSON.stringify(value).replace(/sha256:\w{8}/, "sha256:00000000")) as Json);
    }
    const again = await attack({ percent: 30 }, { memo });
    expect(again.items).toEqual({ made: 2, fromMemo: 4 });
    expect(await again.bytes()).toEqual(await bytesOf({ percent: 30 }));
  });

  it("keeps whole batches where their images act on each other", async () => {
    const memo = new Map<string, Json>();
    const settings = { loss: "contrastive_ce" };
    expect((await attack({ ...settings, percent: 40 }, { memo })).items).toEqual({ made: 2, fromMemo: 0 });
    const all = await attack(settings, { memo });
    expect(all.items).toEqual({ made: 3, fromMemo: 2 });
    expect(await all.bytes()).toEqual(await bytesOf(settings));
    // The pairs left over are a batch of their own, and one alone joins the batch before.
    expect((await attack({ ...settings, batchSize: 9 }, { memo })).items).toEqual({ made: 3, fromMemo: 0 });
    expect((await attack({ ...settings, batchSize: 19 }, { memo })).items).toEqual({ made: 1, fromMemo: 0 });
    expect((await attack({ ...settings, batchSize: 5 }, { memo })).items).toEqual({ made: 4, fromMemo: 0 });
  });

  it("says which backends made the images", async () => {
    const memo = new Map<string, Json>();
    await attack({ percent: 20 }, { memo, backend: "cpu" });
    const { provenance } = await attack({ percent: 40 }, { memo });
    expect(provenance["backend"]).toBe("cpu and wasm");
  });

  it.each([1, 2, 8, 33])("is made by %i shards and a step that joins them", async (count) => {
    const memo = new Map<string, Json>();
    let made = 0;
    for (let index = 0; index < count; index++) {
      const { items } = await attack({}, { memo, shard: { index, count } });
      const own = (items as { made: number }).made;
      expect(own).toBeGreaterThanOrEqual(Math.floor(20 / count));
      expect(own).toBeLessThanOrEqual(Math.ceil(20 / count));
      made += own;
    }
    expect(made).toBe(20);
    const joined = await attack({}, { memo });
    expect(joined.items).toEqual({ made: 0, fromMemo: 20 });
    expect(await joined.bytes()).toEqual(await bytesOf({}));
  });

  it("makes what a lost shard leaves", async () => {
    const memo = new Map<string, Json>();
    await attack({}, { memo, shard: { index: 1, count: 2 } });
    expect((await attack({}, { memo })).items).toEqual({ made: 10, fromMemo: 10 });
  });
});

describe("attack.caption-llm", () => {
  async function rewrite(settings: JsonObject = {}, options: NodeRunOptions = {}) {
    const run = await runNode(attackCaptionLlm, {
      ...options,
      folder,
      params: settings,
      inputs: { pairs: paths.all },
    });
    const bytes = async (): Promise<string[]> =>
      Promise.all(["pairs", "report", "metrics"].map((port) => readFile(run.outputs[port]!, "utf8")));
    return { items: run.provenance["items"], logs: run.logs, bytes };
  }

  it("pays for new captions alone, under the same seed and limits", async () => {
    const memo = new Map<string, Json>();
    expect((await rewrite({ percent: 20 }, { memo })).items).toEqual({ made: 4, fromMemo: 0 });
    const more = await rewrite({ percent: 30 }, { memo });
    expect(more.items).toEqual({ made: 2, fromMemo: 4 });
    expect(more.logs).toContain("rewrote 2 captions, 4 more came from the memo");
    expect(await more.bytes()).toEqual(await (await rewrite({ percent: 30 })).bytes());
    expect((await rewrite({ percent: 30, maxWmr: 0.4 }, { memo })).items).toMatchObject({ fromMemo: 0 });
    expect((await rewrite({ percent: 30, onFail: "clean" }, { memo })).items).toMatchObject({ fromMemo: 0 });
    expect((await rewrite({ percent: 30 }, { memo, seed: 8 })).items).toMatchObject({ fromMemo: 0 });
    expect((await rewrite({ percent: 30, concurrency: 2 }, { memo })).items).toMatchObject({ made: 0 });
  });

  it.each([2, 8, 33])("is made by %i shards and a step that joins them", async (count) => {
    const memo = new Map<string, Json>();
    for (let index = 0; index < count; index++) await rewrite({}, { memo, shard: { index, count } });
    const joined = await rewrite({}, { memo });
    expect(joined.items).toEqual({ made: 0, fromMemo: 20 });
    expect(await joined.bytes()).toEqual(await (await rewrite()).bytes());
  });
});
