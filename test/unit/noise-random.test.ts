import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Digest, JsonObject } from "../../engine/sdk.ts";
import { captionWords } from "../../nodes/captions/word-changes.ts";
import type { ImageText } from "../../nodes/formats.ts";
import { noiseMix } from "../../nodes/noise-mix.ts";
import { noiseOrder } from "../../nodes/noise-order.ts";
import { noiseRandom } from "../../nodes/noise-random.ts";
import { readPairs, writePairs } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

const clean: ImageText[] = Array.from({ length: 20 }, (_, i) => ({
  id: `p${i}`,
  image: { digest: `sha256:${"a".repeat(64)}` as Digest, size: 1 },
  caption: `chest view ${i} with a small nodule at ${i * 3} mm`,
}));

let folder: string;
let cleanPath: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-random-noise-"));
  cleanPath = join(folder, "clean");
  await writePairs(cleanPath, clean);
});

async function noisy(params: JsonObject = {}, seed = 7, pairs = cleanPath) {
  const { outputs } = await runNode(noiseRandom, { params, inputs: { pairs }, seed });
  return { path: outputs["pairs"]!, pairs: await readPairs(outputs["pairs"]!) };
}

const captionsOf = (pairs: readonly ImageText[]): string[] => pairs.map(({ caption }) => caption);

describe("noise.random", () => {
  it("marks captions for training's Gaussian noise and leaves everything else", async () => {
    const { pairs } = await noisy({ relSigma: 0.2 }, 11);
    expect(pairs).toEqual(clean.map((pair) => ({ ...pair, captionNoise: { relSigma: 0.2, seed: 11 } })));
  });

  it("replaces a share of the words by others of the captions", async () => {
    const { pairs } = await noisy({ mode: "token_replace", share: 0.3 });
    const known = new Set(captionsOf(clean).flatMap(captionWords));
    for (const [i, { caption }] of pairs.entries()) {
      const before = captionWords(clean[i]!.caption);
      const after = captionWords(caption);
      expect(after).toHaveLength(before.length);
      expect(after.filter((word, at) => word !== before[at])).toHaveLength(Math.round(0.3 * before.length));
      expect(after.every((word) => known.has(word))).toBe(true);
    }
    const least = await noisy({ mode: "token_replace", share: 0.001 });
    least.pairs.forEach(({ caption }, i) => expect(caption).not.toBe(clean[i]!.caption));
  });

  it("gives each pair the caption of another one", async () => {
    const { pairs } = await noisy({ mode: "caption_shuffle" });
    const known = new Set(captionsOf(clean));
    for (const [i, { caption }] of pairs.entries()) {
      expect(known.has(caption)).toBe(true);
      expect(caption).not.toBe(clean[i]!.caption);
    }
    const same = join(folder, "same");
    await writePairs(
      same,
      clean.map((pair) => ({ ...pair, caption: "one" })),
    );
    await expect(noisy({ mode: "caption_shuffle" }, 7, same)).rejects.toThrow("all captions are the same");
  });

  it("follows from the seed, and is the same for a pair at every share", async () => {
    for (const mode of ["token_replace", "caption_shuffle"]) {
      const all = await noisy({ mode });
      expect((await noisy({ mode })).pairs).toEqual(all.pairs);
      expect((await noisy({ mode }, 8)).pairs).not.toEqual(all.pairs);
      const part = await noisy({ mode, percent: 30 });
      const first = noiseOrder(
        clean.map(({ id }) => id),
        7,
      ).slice(0, 6);
      expect(part.pairs).toEqual(all.pairs.filter(({ id }) => first.includes(id)));
    }
  });

  it("goes through noise.mix, which takes it for the share that it asks for", async () => {
    const { path } = await noisy({ percent: 30 });
    const { outputs } = await runNode(noiseMix, {
      params: { percent: 20 },
      inputs: { clean: cleanPath, noisy: path },
    });
    const mixed = await readPairs(outputs["pairs"]!);
    expect(captionsOf(mixed)).toEqual(captionsOf(clean));
    expect(mixed.filter(({ captionNoise }) => captionNoise !== undefined)).toHaveLength(4);
  });
});
