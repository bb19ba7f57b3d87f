import { existsSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Digest, Json, JsonObject } from "../../engine/sdk.ts";
import { attackCaptionLlm } from "../../nodes/attack-caption-llm.ts";
import { findLlama, llamaMissing } from "../../nodes/chat/llama.ts";
import { readMetrics, readTable, writePairs } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

/** A model of 1.2 MB that tells stories: RANFLOW_GGUF, or beside the repository. */
const modelFile = resolve(
  process.env["RANFLOW_GGUF"] ?? join(import.meta.dirname, "../../../shared/models/stories260K.gguf"),
);
const missing =
  findLlama() === undefined ? "node-llama-cpp" : existsSync(modelFile) ? undefined : "the model's file";

let input: string;
beforeAll(async () => {
  input = join(await mkdtemp(join(tmpdir(), "ranflow-llama-")), "pairs");
  const captions = ["Chest X-ray of the left lung.", "Normal heart size.", "CT of the abdomen."];
  await writePairs(
    input,
    captions.map((caption, i) => ({
      id: `p${i}`,
      image: { digest: `sha256:${String(i).repeat(64)}` as Digest, size: i },
      caption,
    })),
  );
});

async function attack(params: JsonObject, memo = new Map<string, Json>()) {
  const run = await runNode(attackCaptionLlm, {
    params: { backend: "llama", modelFile, ...params },
    inputs: { pairs: input },
    memo,
  });
  return {
    ...run,
    report: await readTable(run.outputs["report"]!),
    metrics: await readMetrics(run.outputs["metrics"]!),
  };
}

describe.skipIf(missing !== undefined)(`llama.cpp in process (skipped without ${missing ?? ""})`, () => {
  // A teller of stories changes everything, and may do so here.
  const free = {
    maxWmr: 1000,
    maxTokens: 12,
    template: "Once there was {caption}",
    temperature: 0.8,
    retries: 0,
  };

  it("rewrites captions, the same ones for the same seed, and counts tokens", async () => {
    const one = await attack(free);
    expect(one.metrics).toMatchObject({ backend: "llama (stories260K.gguf)", attacked: 3, unanswered: 0 });
    expect(one.metrics["rewritten"]).toBe(3);
    expect(Number(one.metrics["promptTokens"])).toBeGreaterThan(10);
    expect(Number(one.metrics["completionTokens"])).toBeLessThanOrEqual(36);
    expect((await attack(free)).report).toEqual(one.report);
    expect(one.provenance).toMatchObject({ llama: { threads: 1 } });
  });

  it("puts an unusable answer aside as that of any model", async () => {
    const { metrics, report } = await attack({
      maxTokens: 12,
      maxWmr: 0.01,
      minWmr: 0,
      retries: 1,
      onFail: "clean",
    });
    expect(metrics).toMatchObject({ rewritten: 0, kept: 3, unanswered: 0 });
    expect(report[0]).toMatchObject({ attempts: 2 });
  });

  it("says what file is no model", async () => {
    const broken = join(await mkdtemp(join(tmpdir(), "ranflow-gguf-")), "broken.gguf");
    await writeFile(broken, "no model");
    await expect(attack({ modelFile: broken })).rejects.toThrow(/broken\.gguf cannot be loaded as a model/);
  });
});

describe("without the package", () => {
  it("finds none, and says how to get it without what is large", () => {
    expect(findLlama([join(tmpdir(), "_")])).toBeUndefined();
    const { message, hint } = llamaMissing();
    expect(message).toBe("backend llama needs the package node-llama-cpp, which is not installed");
    expect(hint).toMatch(
      /^npm install --prefix \S+llama --omit=optional --ignore-scripts node-llama-cpp@3 @node-llama-cpp\//,
    );
  });
});
