import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Digest } from "../../engine/sdk.ts";
import type { ImageText } from "../../nodes/formats.ts";
import { noiseMix } from "../../nodes/noise-mix.ts";
import { noiseOrder } from "../../nodes/noise-order.ts";
import { readPairs, readTable, writePairs } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

const image = (byte: string) => ({ digest: `sha256:${byte.repeat(64)}` as Digest, size: 1 });
const clean: ImageText[] = Array.from({ length: 40 }, (_, i) => ({
  id: `p${i}`,
  image: image("a"),
  caption: `caption ${i}`,
}));
const noisy = clean.map((pair) => ({ ...pair, image: image("b") }));

let folder: string;
let cleanPath: string;
let noisyPath: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-noise-"));
  cleanPath = join(folder, "clean");
  noisyPath = join(folder, "noisy");
  await writePairs(cleanPath, clean);
  await writePairs(noisyPath, noisy);
});

async function mix(percent: number, options: { noisy?: string; seed?: number } = {}) {
  const inputs = { clean: cleanPath, ...(percent > 0 && { noisy: options.noisy ?? noisyPath }) };
  const { outputs } = await runNode(noiseMix, { params: { percent }, inputs, seed: options.seed ?? 7 });
  return { pairs: await readPairs(outputs["pairs"] ?? ""), outputs };
}

const noisyIds = (pairs: readonly ImageText[]): string[] =>
  pairs.filter((pair) => pair.image.digest === image("b").digest).map(({ id }) => id);

describe("noise.mix", () => {
  it("replaces round(percent * N / 100) pairs by id and keeps number and order", async () => {
    for (const [percent, count] of [
      [5, 2],
      [10, 4],
      [31, 12],
      [100, 40],
    ] as const) {
      const { pairs } = await mix(percent);
      expect(pairs.map(({ id }) => id)).toEqual(clean.map(({ id }) => id));
      expect(noisyIds(pairs)).toHaveLength(count);
    }
  });

  it("nests: what is noisy at a smaller share is noisy at every greater one", async () => {
    const shares = await Promise.all(
      [5, 10, 20, 30].map(async (percent) => noisyIds((await mix(percent)).pairs)),
    );
    for (const [index, ids] of shares.slice(1).entries())
      expect(ids).toEqual(expect.arrayContaining(shares[index] ?? []));
    expect(shares[3]).toHaveLength(12);
  });

  it("at 0 % reads only the clean pairs and gives their bytes", async () => {
    const reads = noiseMix.reads as (params: unknown) => string[];
    expect(reads({ percent: 0 })).toEqual(["clean"]);
    expect(reads({ percent: 5 })).toEqual(["clean", "noisy"]);
    const { outputs } = await mix(0);
    expect(await readFile(outputs["pairs"] ?? "")).toEqual(await readFile(cleanPath));
  });

  it("says in the manifest, and nowhere else, who is noisy", async () => {
    const { pairs, outputs } = await mix(20, { seed: 3 });
    const manifest = await readTable(outputs["manifest"] ?? "");
    expect(manifest.map(({ id }) => id)).toEqual(clean.map(({ id }) => id));
    expect(manifest.filter((row) => row["noisy"]).map(({ id }) => id)).toEqual(noisyIds(pairs));
    expect(manifest[0]).toMatchObject({ seed: 3, percent: 20 });
    expect(Object.keys(pairs[0] ?? {})).toEqual(["id", "image", "caption"]);
  });

  it("depends on the seed, and takes the attack's prefix alone", async () => {
    const ids = noiseOrder(
      clean.map(({ id }) => id),
      7,
    ).slice(0, 12);
    const enough = join(folder, "enough");
    await writePairs(enough, noisy.filter(({ id }) => ids.includes(id)).toReversed());
    expect(noisyIds((await mix(30, { noisy: enough })).pairs).toSorted()).toEqual(ids.toSorted());
    await expect(mix(30, { noisy: enough, seed: 8 })).rejects.toMatchObject({
      name: "NodeError",
      message: expect.stringMatching(/^\d+ of the 12 pairs that become noisy at 30 % have no noisy version/),
      hint: expect.stringContaining("same seed (8)"),
    });
    await expect(mix(50, { noisy: enough })).rejects.toThrow("8 of the 20 pairs");
  });

  it("refuses clean pairs that share an id", async () => {
    const twice = join(folder, "twice");
    await writePairs(twice, [...clean.slice(0, 2), ...clean.slice(0, 1)]);
    await expect(runNode(noiseMix, { params: { percent: 0 }, inputs: { clean: twice } })).rejects.toThrow(
      'hold the id "p0" twice',
    );
  });

  it("takes a percentage and nothing else", () => {
    for (const percent of [-1, 101, Number.NaN, "10"])
      expect(noiseMix.params.safeParse({ percent }).success).toBe(false);
  });
});
