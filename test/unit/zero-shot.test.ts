import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import type { JsonObject } from "../../engine/sdk.ts";
import { embedTexts } from "../../nodes/clip/embed-texts.ts";
import { openTokenizer, writeClipModel } from "../../nodes/clip/folder.ts";
import type { StoredClip } from "../../nodes/clip/folder.ts";
import { createClipModel, disposeClipModel } from "../../nodes/clip/model.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import { evaluateZeroShot } from "../../nodes/evaluate-zero-shot.ts";
import { writeFeatures } from "../../nodes/features.ts";
import { promptsFor } from "../../nodes/metrics/zero-shot.ts";
import { readMetrics, readTable } from "../../nodes/records.ts";
import { learnMerges, writeMerges } from "../../nodes/text/index.ts";
import { randomState, smallModels } from "../rig/clip-models.ts";
import { runNode } from "../rig/run-node.ts";

const labels = ["Mass", "Pleural_Thickening", "No Finding"];
const dim = 16;

let model: string;
let embed: (texts: readonly string[]) => Promise<Float32Array>;

beforeAll(async () => {
  const scratch = await mkdtemp(join(tmpdir(), "ranflow-zero-shot-"));
  const vocabulary = join(scratch, "merges.txt");
  const words = ["mass", "No mass", "Pleural Thickening", "No pleural thickening"];
  const config = smallModels.vit;
  await writeMerges(vocabulary, learnMerges([...words, ...words], config.text_cfg.vocab_size));
  const merges = (await import("../../nodes/text/index.ts")).readMerges(vocabulary);
  const vocab_size = 514 + (await merges).length;
  const sized = { ...config, text_cfg: { ...config.text_cfg, vocab_size } };
  const stored: StoredClip = { config: sized, state: randomState(sized, 3), vocabulary };
  model = await mkdtemp(join(tmpdir(), "ranflow-zero-shot-model-"));
  await writeClipModel(model, stored);
  embed = async (texts) => {
    const clip = createClipModel(await openRuntime({ backend: "cpu", threads: 1 }), sized, stored.state);
    const features = embedTexts(clip, await openTokenizer(stored), texts, { batchSize: 2 });
    disposeClipModel(clip);
    return features;
  };
});

async function evaluated(
  features: Float32Array,
  y: readonly number[],
  params: JsonObject = {},
  header: { readonly feature: "projected" | "pre_proj" } = { feature: "projected" },
) {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-zero-shot-features-"));
  const ids = Array.from({ length: y.length / labels.length }, (_, i) => `image ${i}`);
  await writeFeatures(
    folder,
    { dataset: "chestxray14", split: "test", labels, ids, ...header },
    features,
    Int32Array.from(y),
  );
  const { outputs } = await runNode(evaluateZeroShot, {
    backend: "cpu",
    params,
    inputs: { model, features: folder },
  });
  return {
    metrics: await readMetrics(outputs["metrics"]!),
    predictions: await readTable(outputs["predictions"]!),
  };
}

describe("evaluate.zero-shot", () => {
  it("tells images apart that look like the texts of what they show", async () => {
    // Four images whose features are the texts' own: of a finding, and of its absence.
    const texts = ["Mass", "No mass", "Pleural Thickening", "No pleural thickening"];
    const y = [1, -1, 0, 0, -1, 1, -1, 1, 0, -1, 0, 1];
    const { metrics, predictions } = await evaluated(await embed(texts), y);
    expect(metrics).toMatchObject({
      dataset: "chestxray14",
      split: "test",
      domain: "zero-shot",
      headline: "auc",
      auc: 1,
      acc: 1,
      n: 4,
      labels: 2,
    });
    expect(Object.keys(predictions[0]!)).toEqual([
      "id",
      "p.Mass",
      "p.Pleural_Thickening",
      "y.Mass",
      "y.Pleural_Thickening",
    ]);
    expect(predictions[0]!["p.Mass"]).toBeGreaterThan(0.5);
    expect(predictions[1]!["p.Mass"]).toBeLessThan(0.5);
    // The other way round, everything is wrong.
    const turned = { positive: ["No {label}"], negative: ["{label}"], lowerNegative: false };
    const { metrics: wrong } = await evaluated(
      await embed(texts.map((text) => text.toLowerCase())),
      y,
      turned,
    );
    expect(wrong["auc"]).toBe(0);
  });

  it("refuses features that do not lie in the texts' space", async () => {
    const y = [1, 1, 0];
    await expect(evaluated(new Float32Array(dim).fill(1), y, {}, { feature: "pre_proj" })).rejects.toThrow(
      /before the projection/,
    );
    await expect(evaluated(new Float32Array(5).fill(1), y)).rejects.toThrow(NodeError);
  });
});

it("writes labels as texts do, and No Finding only when asked", () => {
  const params = evaluateZeroShot.params.parse({});
  const of = (more: JsonObject) => promptsFor(labels, { ...params, ...more } as never);
  expect(of({})).toEqual([
    { name: "Mass", positive: ["Mass"], negative: ["No mass"] },
    { name: "Pleural_Thickening", positive: ["Pleural Thickening"], negative: ["No pleural thickening"] },
  ]);
  expect(of({ noFinding: true }).at(-1)).toEqual({
    name: "No Finding",
    positive: ["No Finding"],
    negative: ["Finding"],
  });
  expect(of({ lowerNegative: false, positive: ["{label}", "signs of {label}"] })[0]).toEqual({
    name: "Mass",
    positive: ["Mass", "signs of Mass"],
    negative: ["No Mass"],
  });
  expect(evaluateZeroShot.params.safeParse({ positive: ["a mass"] }).success).toBe(false);
});
