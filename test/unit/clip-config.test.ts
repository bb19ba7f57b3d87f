import { describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import { clipPresets, configProblem, gridSize } from "../../nodes/clip/config.ts";
import { parseClipConfig } from "../../nodes/clip/config-json.ts";
import { toCheckpointLayout, toComputeLayout } from "../../nodes/clip/layout.ts";
import { parameterShapes, stateShapes } from "../../nodes/clip/shapes.ts";
import { initialise } from "../../nodes/clip/initialise.ts";
import { isDecayed, learningRateAt } from "../../nodes/clip/optimizer.ts";
import { resizePositions } from "../../nodes/clip/positions.ts";
import { tokenBatch } from "../../nodes/clip/tokens.ts";
import { trainingLog } from "../../nodes/clip/training-log.ts";

const nano = clipPresets["vit-nano"];

describe("configurations", () => {
  it("presets are sound", () => {
    for (const preset of Object.values(clipPresets)) expect(configProblem(preset)).toBeUndefined();
  });

  it.each([
    ["ViT-L-14", 427_616_513],
    ["RN50", 102_007_137],
  ] as const)("%s has as many parameters as OpenCLIP's, %i", (name, count) => {
    let total = 0;
    for (const shape of parameterShapes(clipPresets[name]).values())
      total += shape.reduce((product, size) => product * size, 1);
    expect(total).toBe(count);
  });

  it("cuts the rest of an image that fills no patch: ViT-L/14 sees 240 px as 17 x 17", () => {
    expect(gridSize({ ...clipPresets["ViT-L-14"].vision_cfg, image_size: 240 })).toBe(17);
  });

  it("reads what OpenCLIP writes, with its defaults", () => {
    expect(
      parseClipConfig(
        {
          model_cfg: {
            embed_dim: 512,
            vision_cfg: { layers: 12, width: 768, patch_size: 32 },
            text_cfg: { width: 512 },
          },
        },
        "c.json",
        undefined,
      ),
    ).toEqual(clipPresets["ViT-B-32"]);
  });

  it.each([
    [{ embed_dim: 8, vision_cfg: { layers: [3, 4, 6] }, text_cfg: {} }, /layers of a ResNet must be four/],
    [{ model_cfg: { embed_dim: 8, vision_cfg: {} } }, /text_cfg is missing/],
    [{ embed_dim: "8", vision_cfg: {}, text_cfg: {} }, /embed_dim is missing or not a number/],
    [{ embed_dim: 8, vision_cfg: { width: 100 }, text_cfg: {} }, /width 100 is no multiple of head_width 64/],
    [{ embed_dim: 8, vision_cfg: { image_size: 8 }, text_cfg: {} }, /smaller than patch_size/],
    [{ embed_dim: 8, vision_cfg: { layers: [1, 1, 1, 1], image_size: 16 }, text_cfg: {} }, /too small/],
    [{ embed_dim: 8, vision_cfg: { pool_type: "avg" }, text_cfg: {} }, /not built: pool_type: "avg"/],
    [{ embed_dim: 8, vision_cfg: {}, text_cfg: { no_causal_mask: true } }, /not built: no_causal_mask/],
    [{ embed_dim: 8, vision_cfg: { timm_model_name: "x" }, text_cfg: {} }, /sizes from a checkpoint/],
    [
      {
        model_cfg: { embed_dim: 8, vision_cfg: {}, text_cfg: {} },
        preprocess_cfg: { mean: [0.5, 0.5], std: [1, 1, 1] },
      },
      /mean must be three numbers/,
    ],
    [
      {
        model_cfg: { embed_dim: 8, vision_cfg: {}, text_cfg: {} },
        preprocess_cfg: { resize_mode: "squash" },
      },
      /not built: resize_mode: "squash"/,
    ],
  ])("says what is wrong (%#)", (value, message) => {
    expect(() => parseClipConfig(value, "c.json", undefined)).toThrow(message);
    expect(() => parseClipConfig(value, "c.json", undefined)).toThrow(NodeError);
  });
});

describe("states", () => {
  it("go to the compute layout and back", () => {
    for (const [name, stored] of initialise(nano, 1)) {
      const { data } = toComputeLayout(name, stored);
      expect(toCheckpointLayout(name, data, stored.shape)).toEqual(stored);
    }
  });

  it("start with OpenCLIP's spreads", () => {
    const state = initialise(clipPresets["vit-tiny"], 3);
    const deviation = (name: string) => {
      const { data } = state.get(name)!;
      return Math.sqrt(data.reduce((sum, value) => sum + value * value, 0) / data.length);
    };
    const near = (name: string, want: number) => expect(deviation(name) / want).toBeCloseTo(1, 1);
    near("token_embedding.weight", 0.02);
    near("positional_embedding", 0.01);
    near("transformer.resblocks.0.attn.in_proj_weight", 128 ** -0.5);
    near("transformer.resblocks.0.mlp.c_proj.weight", 128 ** -0.5 * 6 ** -0.5);
    near("visual.transformer.resblocks.0.mlp.c_fc.weight", (3 * 192) ** -0.5);
    near("visual.proj", 192 ** -0.5);
    expect(state.get("logit_scale")?.data[0]).toBeCloseTo(Math.log(1 / 0.07), 6);
    expect(deviation("visual.ln_pre.weight")).toBe(1);
    expect(deviation("transformer.resblocks.0.attn.out_proj.bias")).toBe(0);
  });

  // Formulas of the libraries' sources; their own models of these sizes showed the same.
  it.each([
    [
      "resnet-nano",
      {
        "visual.conv3.weight": (3 * 4 * 9) ** -0.5,
        "visual.layer4.0.conv2.weight": (3 * 64 * 9) ** -0.5,
        "visual.layer2.0.downsample.0.weight": (3 * 32) ** -0.5,
        "visual.attnpool.positional_embedding": 256 ** -0.5,
        "visual.attnpool.c_proj.weight": 256 ** -0.5,
        "visual.attnpool.q_proj.bias": (3 * 256) ** -0.5,
        "transformer.resblocks.1.attn.in_proj_weight": 64 ** -0.5,
      },
      {
        "visual.bn3.weight": 1,
        "visual.layer3.0.bn2.weight": 1,
        "visual.layer3.0.bn3.weight": 0,
        "visual.layer3.0.downsample.1.weight": 1,
        "visual.layer3.0.bn3.running_var": 1,
        "visual.layer3.0.bn3.running_mean": 0,
      },
    ],
    [
      "biomedclip-nano",
      {
        "visual.trunk.pos_embed": 0.02,
        "visual.trunk.patch_embed.proj.weight": (3 * 192) ** -0.5,
        "visual.trunk.blocks.1.attn.qkv.weight": 0.02,
        "visual.head.proj.weight": (3 * 64) ** -0.5,
        "text.transformer.encoder.layer.0.output.dense.weight": 0.02,
        "text.proj.0.weight": (3 * 64) ** -0.5,
        "text.proj.2.weight": (3 * 56) ** -0.5,
      },
      {
        "visual.trunk.norm.weight": 1,
        "visual.trunk.blocks.0.mlp.fc1.bias": 0,
        "text.transformer.embeddings.LayerNorm.weight": 1,
        "text.transformer.encoder.layer.1.attention.self.key.bias": 0,
      },
    ],
    [
      "pmc-clip-nano",
      {
        "text.transformer.embeddings.position_embeddings.weight": 0.02,
        "text.transformer.pooler.dense.weight": 0.02,
        "text.proj.weight": (3 * 64) ** -0.5,
      },
      { "text.transformer.pooler.dense.bias": 0 },
    ],
  ] as const)("start as those of %s's libraries do", (name, spreads, constants) => {
    const config = clipPresets[name];
    const state = initialise(config, 3);
    expect([...state.keys()]).toEqual([...stateShapes(config).keys()]);
    for (const [tensor, spread] of Object.entries(spreads)) {
      const { data } = state.get(tensor)!;
      const found = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0) / data.length);
      expect(Math.abs(found / spread - 1), tensor).toBeLessThan(0.1);
    }
    for (const [tensor, value] of Object.entries(constants))
      expect(new Set(state.get(tensor)!.data), tensor).toEqual(new Set([value]));
  });

  it("start with no embedding of BERT's padding", () => {
    const words = initialise(clipPresets["pmc-clip-nano"], 3).get(
      "text.transformer.embeddings.word_embeddings.weight",
    )!;
    expect(words.data.subarray(0, 64).every((value) => value === 0)).toBe(true);
    expect(words.data.subarray(64, 128).every((value) => value !== 0)).toBe(true);
  });
});

describe("positions", () => {
  const width = 2;
  const positions = (grid: number, value: (x: number, y: number) => number) => {
    const result = new Float32Array((1 + grid * grid) * width).fill(7, 0, width);
    for (let y = 0; y < grid; y++)
      for (let x = 0; x < grid; x++)
        result.fill(value(x, y), (1 + y * grid + x) * width, (2 + y * grid + x) * width);
    return result;
  };

  it("stay as they are on the same grid, constant where they are constant, and keep the class token", () => {
    const values = positions(4, (x, y) => x - 3 * y);
    expect([...resizePositions(values, { from: 4, to: 4, width })]).toEqual([...values]);
    for (const to of [2, 3, 7]) {
      const resized = resizePositions(
        positions(4, () => 2),
        { from: 4, to, width },
      );
      expect(resized).toHaveLength((1 + to * to) * width);
      resized.forEach((value, at) => expect(value).toBeCloseTo(at < width ? 7 : 2, 5));
    }
  });

  it("keep a ramp along its axis", () => {
    const resized = resizePositions(
      positions(8, (x) => x),
      { from: 8, to: 4, width },
    );
    const row = [1, 2, 3, 4].map((at) => resized[at * width] as number);
    expect(row).toEqual(row.toSorted((a, b) => a - b));
    expect(row[1]! + row[2]!).toBeCloseTo(7, 4);
  });
});

describe("training", () => {
  it("warms up linearly, then falls by half a cosine to 0", () => {
    const rate = (step: number) =>
      learningRateAt(step, { base: 1, warmup: 4, total: 12, schedule: "cosine" });
    expect([0, 1, 2, 3].map(rate)).toEqual([0.25, 0.5, 0.75, 1]);
    expect(rate(4)).toBe(1);
    expect(rate(8)).toBeCloseTo(0.5, 12);
    expect(rate(12)).toBeCloseTo(0, 12);
    expect(learningRateAt(11, { base: 1, warmup: 4, total: 12, schedule: "constant" })).toBe(1);
  });

  it("decays matrices only", () => {
    expect(isDecayed("visual.proj", [4, 4])).toBe(true);
    expect(isDecayed("token_embedding.weight", [9, 4])).toBe(true);
    expect(isDecayed("visual.class_embedding", [4])).toBe(false);
    expect(isDecayed("logit_scale", [])).toBe(false);
  });

  it("cuts tokens after the last end, and finds each first largest id", () => {
    const batch = tokenBatch([Int32Array.of(8, 1, 9, 0, 0), Int32Array.of(8, 9, 0, 9, 0)], nano.text_cfg);
    expect(batch).toMatchObject({ batch: 2, length: 3, pooled: [2, 1] });
    expect([...batch.ids]).toEqual([8, 1, 9, 8, 9, 0]);
  });

  it("logs means, and goes on where it was", () => {
    const entry = (step: number) => ({
      step,
      epoch: 1,
      loss: step,
      learningRate: 0.1,
      gradientNorm: 2,
      logitScale: 3,
    });
    const whole = trainingLog(1001);
    const first = trainingLog(1001);
    for (let step = 0; step < 500; step++) first.add(entry(step));
    const second = trainingLog(1001, first.state());
    for (let step = 0; step < 1001; step++) {
      whole.add(entry(step));
      if (step >= 500) second.add(entry(step));
    }
    expect(second.state()).toEqual(whole.state());
    expect(whole.state().rows).toHaveLength(334);
    expect(whole.state().rows[0]).toMatchObject({ step: 3, loss: 1 });
    expect(whole.state().rows.at(-1)).toMatchObject({ step: 1001 });
  });
});
