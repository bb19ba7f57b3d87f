import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { JsonObject, NodeType } from "../../engine/sdk.ts";
import { clipEmbedImages } from "../../nodes/clip-embed-images.ts";
import { evaluateClipScore } from "../../nodes/evaluate-clip-score.ts";
import { readFeatures } from "../../nodes/features.ts";
import type { ImageText } from "../../nodes/formats.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import {
  readMetrics,
  readPairs,
  readTable,
  writeImages,
  writePairs,
  writeTable,
} from "../../nodes/records.ts";
import { pictureWorld, type PictureWorld } from "../rig/picture-world.ts";
import { runNode, type NodeRunOptions } from "../rig/run-node.ts";

let world: PictureWorld;
let model: string;
let pairs: ImageText[];
let targets: ImageText[];

const run = (type: NodeType, options: NodeRunOptions) => runNode(type, { folder: world.folder, ...options });

beforeAll(async () => {
  world = await pictureWorld();
  const arch = {
    embed_dim: 16,
    vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8 },
    text_cfg: { context_length: 12, width: 32, heads: 2, layers: 1 },
  };
  const made = await run(modelClip, { params: { arch }, inputs: { captions: world.pairs } });
  model = made.outputs["model"]!;
  pairs = await readPairs(world.pairs);
  targets = await readPairs(world.targets);
});

async function score(params: JsonObject = {}, inputs: Readonly<Record<string, string>> = {}, seed = 7) {
  const { outputs, logs } = await run(evaluateClipScore, {
    seed,
    params: { bootstrap: 0, ...params },
    inputs: { model, pairs: world.pairs, references: world.pairs, ...inputs },
  });
  return {
    metrics: await readMetrics(outputs["metrics"]!),
    scores: await readTable(outputs["scores"]!),
    logs,
  };
}

async function stored(name: string, records: readonly ImageText[]): Promise<string> {
  const path = join(world.folder, name);
  await writePairs(path, records);
  return path;
}

/** The matches of an attack on some of the pairs: each with a target. */
async function attackReport(): Promise<string> {
  const path = join(world.folder, "report.jsonl");
  await writeTable(
    path,
    pairs.slice(0, 9).map(({ id }, i) => ({ id, target: targets[i % 4]!.id, cosBefore: 0.1, cosAfter: 0.9 })),
  );
  return path;
}

describe("evaluate.clip-score", () => {
  it("is one where what is compared is the same", async () => {
    for (const compare of ["image-image", "text-text"]) {
      const { metrics, scores } = await score({ compare, encoder: "tiny" });
      expect(metrics).toMatchObject({ encoder: "tiny", compare, headline: "clipScore", n: 14, unmatched: 0 });
      expect(metrics["clipScore"]).toBeCloseTo(1, 6);
      expect(scores).toHaveLength(14);
    }
  });

  it("is the cosine of the image's features with the caption of the pair's target", async () => {
    const { metrics, scores, logs } = await score(
      {},
      { references: world.targets, match: await attackReport() },
    );
    expect(metrics).toMatchObject({ compare: "image-text", n: 9, unmatched: 5 });
    expect(logs.join()).toContain("5 of 14 pairs have no reference");
    expect(scores.map(({ id, reference }) => [id, reference])).toEqual(
      pairs.slice(0, 9).map(({ id }, i) => [id, targets[i % 4]!.id]),
    );
    // The same by another way: text as both sides fixes its direction, image features come from the other node.
    const byTarget = await score(
      { compare: "text-text" },
      {
        pairs: await stored(
          "targets-as-pairs",
          pairs.slice(0, 9).map((pair, i) => ({ ...pair, caption: targets[i % 4]!.caption })),
        ),
        references: world.targets,
        match: await attackReport(),
      },
    );
    expect(byTarget.metrics["clipScore"]).toBeCloseTo(1, 6);
    const swapped = await score(
      { compare: "text-image" },
      {
        pairs: await stored(
          "targets-by-id",
          pairs.slice(0, 9).map((pair, i) => ({ ...pair, caption: targets[i % 4]!.caption })),
        ),
      },
    );
    expect(swapped.scores.map(({ cosine }) => cosine)).toEqual(scores.map(({ cosine }) => cosine));
  });

  it("compares images as clip.embed-images sees them", async () => {
    const images = join(world.folder, "as-images.jsonl");
    await writeImages(
      images,
      { dataset: "test", split: "test", labels: [] },
      pairs.map(({ id, image }) => ({ id, image, y: [] })),
    );
    const embedded = await run(clipEmbedImages, { inputs: { model, images } });
    const folder = embedded.outputs["features"]!;
    const artifact = { file: (name: string) => ({ path: join(folder, name) }) };
    const { features, dim } = await readFeatures(artifact as never);
    const row = (i: number): Float32Array => features.subarray(i * dim, (i + 1) * dim);
    const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, t) => sum + x * b[t]!, 0);
    const cosine = (a: Float32Array, b: Float32Array): number => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    const rotated = pairs.map(({ id }, i) => ({ ...pairs[(i + 1) % pairs.length]!, id }));
    const { scores } = await score(
      { compare: "image-image", batchSize: 5 },
      { references: await stored("rotated", rotated) },
    );
    scores.forEach((found, i) =>
      expect(found["cosine"]).toBeCloseTo(cosine(row(i), row((i + 1) % pairs.length)), 5),
    );
  });

  it("scales as CLIPScore does, and puts a prefix before texts", async () => {
    const plain = await score();
    const scaled = await score({ scale: 2.5 });
    const expected = plain.scores.map(({ cosine }) => 2.5 * Math.max(0, Number(cosine)));
    expect(scaled.scores.map(({ score: value }) => value)).toEqual(expected);
    const prefixed = await score({ prefix: "chest " });
    const written = await score(
      {},
      {
        references: await stored(
          "prefixed",
          pairs.map((pair) => ({ ...pair, caption: `chest ${pair.caption}` })),
        ),
      },
    );
    expect(prefixed.scores).toEqual(written.scores);
    expect(prefixed.scores).not.toEqual(plain.scores);
  });

  it("has an interval around the mean, the same for the same seed", async () => {
    const one = await score({ bootstrap: 200 });
    const { clipScore, clipScoreHigh, clipScoreLow } = one.metrics;
    expect(Number(clipScoreLow)).toBeLessThan(Number(clipScore));
    expect(Number(clipScoreHigh)).toBeGreaterThan(Number(clipScore));
    expect((await score({ bootstrap: 200 })).metrics).toEqual(one.metrics);
    expect((await score({ bootstrap: 200 }, {}, 8)).metrics).not.toEqual(one.metrics);
    const seeded = evaluateClipScore.seeded as (params: { bootstrap: number }) => boolean;
    expect([seeded({ bootstrap: 0 }), seeded({ bootstrap: 1 })]).toEqual([false, true]);
  });

  it("says why there is nothing to compare", async () => {
    await expect(score({}, { references: world.targets })).rejects.toMatchObject({
      name: "NodeError",
      message: "none of the 14 pairs has a reference",
      hint: expect.stringContaining("bind its report as `match`"),
    });
    await expect(score({}, { match: await attackReport() })).rejects.toMatchObject({
      hint: expect.stringContaining("the records it drew its targets from"),
    });
    // A captioner that answered nothing leaves no pairs, which is its own news and no failure of the score.
    const none = await score({ bootstrap: 5 }, { pairs: await stored("empty", []) });
    expect(none.metrics).toMatchObject({ clipScore: null, n: 0, unmatched: 0 });
    expect(none.logs.join()).toContain("no pairs to compare");
    const rows = join(world.folder, "rows.jsonl");
    await writeTable(rows, [{ id: "p0", aim: "p1" }]);
    await expect(score({}, { match: rows })).rejects.toThrow("does not say id and target");
  });
});
