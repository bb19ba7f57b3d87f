import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Digest } from "../../engine/sdk.ts";
import { captionNoise } from "../../nodes/clip/caption-noise.ts";
import { createClipModel, disposeClipModel, type ClipModel } from "../../nodes/clip/model.ts";
import { encodeTexts, encodeTextsBackward } from "../../nodes/clip/text.ts";
import { tokenBatch, type TokenBatch } from "../../nodes/clip/tokens.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import type { Gradients } from "../../nodes/nn/parameters.ts";
import { randomState, smallModels } from "../rig/clip-models.ts";

const pair = (id: string, noise?: { relSigma: number; seed: number }) => ({
  id,
  image: { digest: `sha256:${"0".repeat(64)}` as Digest, size: 0 },
  caption: "",
  ...(noise && { captionNoise: noise }),
});
const pairs = [pair("clean"), pair("a", { relSigma: 0.1, seed: 7 }), pair("b", { relSigma: 0.1, seed: 7 })];

const rowOf = (ids: readonly number[]): Int32Array => {
  const row = new Int32Array(12);
  row.set(ids);
  return row;
};

// The last id of CLIP's rows is the largest: the end. Each id occurs once.
const cases = [
  {
    name: "vit",
    table: "token_embedding.weight",
    rows: [
      [1, 2, 3, 9],
      [4, 5, 11],
      [6, 7, 8, 10, 12],
    ],
  },
  {
    name: "biomedclip",
    table: "text.transformer.embeddings.word_embeddings.weight",
    rows: [
      [1, 2, 3, 9],
      [4, 5, 11],
      [6, 7, 8, 10, 12],
    ],
  },
] as const;

describe.each(cases)("the noise of captions in $name", ({ name, table, rows }) => {
  const config = smallModels[name];
  const width = config.text_cfg.width;
  const batchOf = (indices: readonly number[]): TokenBatch =>
    tokenBatch(
      indices.map((index) => rowOf(rows[index]!)),
      config.text_cfg,
    );
  let model: ClipModel;
  beforeAll(async () => {
    model = createClipModel(await openRuntime({ backend: "cpu", threads: 1 }), config, randomState(config));
  });
  afterAll(() => disposeClipModel(model));

  const features = (of: ClipModel, tokens: TokenBatch): Float32Array =>
    of.ops.tidy(() => Float32Array.from(of.ops.read(encodeTexts(of, tokens, "nothing").features)));

  it("is that of the pair alone, whatever the batch, on tokens but not on padding", () => {
    const noise = captionNoise(pairs, model);
    const together = noise(batchOf([0, 1, 2]), [0, 1, 2]);
    const values = together.noise!;
    const row = (index: number, length: number): Float32Array =>
      values.subarray(index * length * width, (index + 1) * length * width);
    const { length } = together;
    expect(row(0, length).every((value) => value === 0)).toBe(true);
    for (const index of [1, 2]) {
      const alone = noise(batchOf([index]), [index]);
      const tokens = rows[index]!.length;
      expect(row(index, length).subarray(0, tokens * width)).toEqual(alone.noise);
      expect(
        row(index, length)
          .subarray(tokens * width)
          .every((value) => value === 0),
      ).toBe(true);
    }
    expect(row(1, length)[0]).not.toBe(row(2, length)[0]);
  });

  it("has the table's standard deviation times relSigma", () => {
    const many = Array.from({ length: 60 }, (_, i) => pair(`m${i}`, { relSigma: 0.1, seed: 1 }));
    const noise = captionNoise(many, model);
    const values = many.flatMap((_, i) => [...noise(batchOf([2]), [i]).noise!]);
    const spread = (of: ArrayLike<number>): number => {
      const list = Array.from(of);
      const mean = list.reduce((sum, x) => sum + x, 0) / list.length;
      return Math.sqrt(list.reduce((sum, x) => sum + (x - mean) ** 2, 0) / list.length);
    };
    const expected = 0.1 * spread(model.ops.read(model.parameters.get(table)!));
    expect(spread(values) / expected).toBeGreaterThan(0.96);
    expect(spread(values) / expected).toBeLessThan(1.04);
  });

  it("acts as if the embeddings themselves were other ones, and so do its gradients", async () => {
    const batch = captionNoise(pairs, model)(batchOf([1, 2]), [1, 2]);
    // Every token stands once in the batch: its noise may be added to the table instead.
    const state = randomState(config);
    const { data } = state.get(table)!;
    batch.ids.forEach((id, at) => {
      if (id === 0) return;
      for (let t = 0; t < width; t++) data[id * width + t]! += batch.noise![at * width + t]!;
    });
    const shifted = createClipModel(await openRuntime({ backend: "cpu", threads: 1 }), config, state);
    const plain = batchOf([1, 2]);
    const noisy = features(model, batch);
    features(shifted, plain).forEach((value, i) => expect(noisy[i]).toBeCloseTo(value, 5));
    expect(noisy).not.toEqual(features(model, plain));

    const gradientOf = (of: ClipModel, tokens: TokenBatch): Float32Array =>
      of.ops.tidy(() => {
        const gradients: Gradients = new Map();
        const encoded = encodeTexts(of, tokens, "all");
        const ones = of.ops.tensor(new Float32Array(2 * config.embed_dim).fill(1), [2, config.embed_dim]);
        encodeTextsBackward(of, encoded.saved!, ones, gradients);
        return Float32Array.from(of.ops.read(gradients.get(table)!));
      });
    const expected = gradientOf(shifted, plain);
    gradientOf(model, batch).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4));
    disposeClipModel(shifted);
  });

  it("costs nothing where no pair has any", () => {
    const tokens = batchOf([0]);
    expect(captionNoise([pair("clean")], model)(tokens, [0])).toBe(tokens);
  });
});
