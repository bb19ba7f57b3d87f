import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Digest, JsonObject } from "../../engine/sdk.ts";
import { attackCaptionLlm } from "../../nodes/attack-caption-llm.ts";
import { bertScore, type TokenStates } from "../../nodes/captions/bert-score.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import { readTable, writePairs } from "../../nodes/records.ts";
import { runNode } from "../rig/run-node.ts";

describe("bertScore", () => {
  const cls = [1, 0] as const;
  const sep = [-2, 0] as const;
  const states = (...rows: readonly (readonly [number, number])[]): TokenStates => {
    const all = [cls, ...rows, sep];
    return { length: all.length, width: 2, values: Float32Array.from(all.flat()) };
  };

  it("is the harmonic mean of precision and recall by nearest tokens", () => {
    // (0, 1) and (3, 4): cosine 0.8, and nothing nearer for either.
    expect(bertScore(states([0, 5]), states([3, 4]))).toBeCloseTo(0.8, 6);
    // (4, 3) is nearer to the mark (1, 0), 0.8, than to (0, 1), 0.6; (0, 1) is nearest to it: 2 · 0.48 / 1.4.
    expect(bertScore(states([0, 5]), states([4, 3]))).toBeCloseTo(0.96 / 1.4, 6);
    // Precision: (1 + 0.8) / 2; recall: 1. Marks do not count.
    expect(bertScore(states([0, 1]), states([0, 2], [3, 4]))).toBeCloseTo(1.8 / 1.9, 6);
  });

  it("is 1 for the same, does not depend on lengths of vectors, and is 0 without tokens", () => {
    expect(bertScore(states([3, 4], [-1, 2]), states([6, 8], [-1, 2]))).toBeCloseTo(1, 6);
    expect(bertScore(states([3, 4]), states())).toBe(0);
  });
});

describe("attack.caption-llm with minBertScore", () => {
  const caption = "Chest X-ray showing a large left pleural effusion.";
  const rewrite = "Chest X-ray showing a small right pleural effusion.";
  let folder: string;
  let pairs: string;
  let replay: string;
  let scorer: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ranflow-bert-score-"));
    pairs = join(folder, "pairs");
    replay = join(folder, "answers.jsonl");
    await writePairs(pairs, [
      { id: "a", image: { digest: `sha256:${"0".repeat(64)}` as Digest, size: 1 }, caption },
    ]);
    await writeFile(replay, `${JSON.stringify({ caption, rewrite })}\n`);
    scorer = await model("pmc-clip-nano");
  });
  const model = async (arch: string): Promise<string> =>
    (await runNode(modelClip, { folder, params: { arch }, inputs: { captions: pairs } })).outputs["model"]!;
  async function attack(params: JsonObject, of = scorer) {
    const run = await runNode(attackCaptionLlm, {
      folder,
      params: { backend: "replay", replay, onFail: "clean", ...params },
      inputs: { pairs, scorer: of },
    });
    return (await readTable(run.outputs["report"]!))[0];
  }

  it("rejects answers that are less alike, by any layer of a BERT", async () => {
    expect(await attack({ minBertScore: 0.1 })).toMatchObject({ rewrite, rejected: null });
    for (const bertLayer of [1, 2]) {
      const { rejected, ...row } = (await attack({ minBertScore: 0.9999, bertLayer })) as Record<
        string,
        unknown
      >;
      expect(row).toMatchObject({ rewrite: caption, by: "kept" });
      expect(rejected).toMatch(/^BERTScore 0\.\d{3}$/);
    }
  });

  it("says what it needs", async () => {
    await expect(attack({ minBertScore: 0.5 }, await model("vit-nano"))).rejects.toThrow("is no BERT");
    await expect(attack({ minBertScore: 0.5, bertLayer: 3 })).rejects.toThrow("more than the 2 layers");
    const given = attackCaptionLlm.params.parse({ minBertScore: 0.5 }) as never;
    expect(attackCaptionLlm.checkInputs?.(given, ["pairs"])).toContain("needs `scorer`");
    const layer = attackCaptionLlm.params.parse({ bertLayer: 2 }) as never;
    expect(attackCaptionLlm.check?.(layer)).toContain("bertLayer is about minBertScore");
  });
});
