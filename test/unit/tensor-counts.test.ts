import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { JsonObject, NodeType } from "../../engine/sdk.ts";
import { attackImagePgd } from "../../nodes/attack-image-pgd.ts";
import { clipPretrain } from "../../nodes/clip-pretrain.ts";
import { loadCore } from "../../nodes/compute/core.ts";
import { openRuntime } from "../../nodes/compute/runtime.ts";
import { writeFeatures } from "../../nodes/features.ts";
import { headTrain } from "../../nodes/head-train.ts";
import { library } from "../../nodes/index.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import { opsOf } from "../../nodes/nn/ops.ts";
import { vqaTrain } from "../../nodes/vqa-train.ts";
import { pictureWorld } from "../rig/picture-world.ts";
import { runNode } from "../rig/run-node.ts";
import type { NodeRunOptions } from "../rig/run-node.ts";
import { backends, normals } from "../rig/slopes.ts";
import { vqaWorld } from "../rig/vqa-world.ts";

type World = Pick<NodeRunOptions, "folder" | "inputs">;

/** Node types that train or attack, with settings that take every way through them, for a few steps. */
const cases: readonly { type: NodeType; params: JsonObject; world: keyof Worlds }[] = [
  ...[{ accumulation: 2 }, { recompute: true }].map((more) => ({
    type: clipPretrain,
    params: { epochs: 4, batchSize: 4, warmup: 1, ...more },
    world: "pairs" as const,
  })),
  ...[
    { norm: "l2", boxClip: "final" },
    { norm: "linf", loss: "contrastive_ce" },
  ].map((more) => ({
    type: attackImagePgd,
    params: { steps: 4, batchSize: 5, ...more },
    world: "attack" as const,
  })),
  ...["probe", "mlp", "ran", "nmtune"].map((method) => ({
    type: headTrain,
    params: { method, epochs: 4, batchSize: 16 },
    world: "features" as const,
  })),
  {
    type: vqaTrain,
    params: { layers: 1, width: 16, heads: 2, batchSize: 16, epochs: 2, method: "ran" },
    world: "questions",
  },
];
/** Other programs have the tensors of these, if any. */
const withoutTensors: readonly string[] = ["attack.caption-llm", "clip.pretrain-openclip"];

interface Worlds {
  readonly pairs: World;
  readonly attack: World;
  readonly features: World;
  readonly questions: World;
}

const arch = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 2, width: 32, head_width: 16, patch_size: 8 },
  text_cfg: { context_length: 24, vocab_size: 560, width: 32, heads: 2, layers: 1 },
};

const tensors = (): number => loadCore().memory().numTensors;

let worlds: Worlds;
beforeAll(async () => {
  const { folder, pairs, targets } = await pictureWorld();
  const model = await runNode(modelClip, { folder, params: { arch }, inputs: { captions: pairs } });
  const features = await mkdtemp(join(tmpdir(), "ranflow-features-"));
  const labels = ["a", "b", "c"];
  const ids = Array.from({ length: 48 }, (_, row) => `f${row}`);
  await writeFeatures(
    features,
    { dataset: "test", split: "train", labels, ids, feature: "projected" },
    normals("features", 48 * 12),
    Int32Array.from({ length: 48 * labels.length }, (_, at) => Number((at * 7) % 3 === 0)),
  );
  const clip = model.outputs["model"]!;
  const questions = await vqaWorld();
  worlds = {
    pairs: { folder, inputs: { pairs, init: clip } },
    attack: { folder, inputs: { pairs, targets, model: clip } },
    features: { inputs: { train: features } },
    questions: { folder: questions.folder, inputs: { train: questions.tokens.train } },
  };
});

describe.each(backends.filter(({ backend }) => backend !== "cpu"))("on $backend", ({ backend, loads }) => {
  it.skipIf(!loads).each(cases.map(({ type, params, world }) => ({ type, params, world, name: type.type })))(
    "$name keeps no tensor of a step: $params",
    async ({ type, params, world }) => {
      const given: NodeRunOptions = { ...worlds[world], params, backend };
      // Constants are made once for all.
      await runNode(type, given);
      const before = tensors();
      const during: number[] = [];
      const watched: NodeType = {
        ...type,
        run: (context) =>
          type.run({
            ...context,
            progress(...told) {
              during.push(tensors());
              context.progress(...told);
            },
          }),
      };
      await runNode(watched, given);
      expect(tensors()).toBe(before);
      const half = during.length >> 1;
      expect(half).toBeGreaterThanOrEqual(3);
      expect(Math.max(...during.slice(half))).toBe(Math.max(...during.slice(0, half)));
    },
  );

  it.skipIf(!loads)("opening it again makes nothing anew", async () => {
    const once = await openRuntime({ backend, threads: 1 });
    const constant = opsOf(once).scalar(0.5);
    const before = tensors();
    expect(opsOf(await openRuntime({ backend, threads: 1 })).scalar(0.5)).toBe(constant);
    expect(tensors()).toBe(before);
  });
});

it("every node type that trains or attacks is among them", () => {
  const found = library.names.filter((type) => /train|attack/.test(type));
  const covered = new Set([...cases.map(({ type }) => type.type), ...withoutTensors]);
  expect([...covered].toSorted()).toEqual(found.toSorted());
});
