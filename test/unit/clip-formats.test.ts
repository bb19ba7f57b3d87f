import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import { viewCheckpoint } from "../../nodes/clip/checkpoint-view.ts";
import { clipPresets, configProblem } from "../../nodes/clip/config.ts";
import type { ClipConfig } from "../../nodes/clip/config.ts";
import { formatClipConfig, parseClipConfig } from "../../nodes/clip/config-json.ts";
import { huggingFaceHints } from "../../nodes/clip/hugging-face.ts";
import { inferClipConfig } from "../../nodes/clip/infer.ts";
import { toCheckpointLayout, toComputeLayout } from "../../nodes/clip/layout.ts";
import { describeCheckpoint, readClipCheckpoint } from "../../nodes/clip/load-checkpoint.ts";
import { stateShapes } from "../../nodes/clip/shapes.ts";
import { takeState } from "../../nodes/clip/weights.ts";
import { writeSafetensors } from "../../nodes/safetensors.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";
import {
  asHuggingFace,
  asPmcParts,
  huggingFaceConfig,
  randomState,
  smallModels,
} from "../rig/clip-models.ts";

type Tensors = ReadonlyMap<string, StoredTensor>;

const models = Object.entries(smallModels) as [string, ClipConfig][];
const { vit, resnet, biomedclip, "pmc-clip": pmc } = smallModels;

const scalars: Tensors = new Map(
  ["input_resolution", "context_length", "vocab_size"].map((name) => [
    name,
    { shape: [], data: BigInt64Array.of(7n) },
  ]),
);

const thrown = (work: () => unknown): NodeError => {
  try {
    work();
  } catch (error) {
    if (error instanceof NodeError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

describe("a model's folder", () => {
  it.each(models)("%s: configuration and tensors come back as they were", (_, config) => {
    expect(configProblem(config)).toBeUndefined();
    const view = viewCheckpoint(randomState(config), "x");
    const json: unknown = JSON.parse(JSON.stringify(formatClipConfig(config)));
    expect(parseClipConfig(json, "c.json", view)).toEqual(config);
    expect(takeState(view, config)).toEqual(randomState(config));
  });

  it.each(models)("%s: parameters go to the compute layout and back", (_, config) => {
    for (const [name, stored] of randomState(config)) {
      expect(toCheckpointLayout(name, toComputeLayout(name, stored).data, stored.shape)).toEqual(stored);
    }
  });
});

describe("a checkpoint without a configuration", () => {
  it("shows its sizes; heads are 64 wide", () => {
    for (const preset of ["ViT-B-16", "ViT-L-14"] as const) {
      const shapes = [...stateShapes(clipPresets[preset])];
      const view = viewCheckpoint(
        new Map(shapes.map(([name, shape]) => [name, { shape, data: new Float32Array() }])),
        "x",
      );
      expect(inferClipConfig(view, { quickGelu: false })).toEqual(clipPresets[preset]);
    }
  });

  it("shows the width of its MLPs, whatever it is", () => {
    for (const inner of [3, 37, 100, 128, 161]) {
      const shapes = new Map(stateShapes(vit));
      for (const layer of [0, 1]) {
        const mlp = `visual.transformer.resblocks.${layer}.mlp`;
        shapes.set(`${mlp}.c_fc.weight`, [inner, 32]).set(`${mlp}.c_fc.bias`, [inner]);
        shapes.set(`${mlp}.c_proj.weight`, [32, inner]);
      }
      const tensors = [...shapes].map(
        ([name, shape]) => [name, { shape, data: new Float32Array() }] as const,
      );
      expect(
        stateShapes(inferClipConfig(viewCheckpoint(new Map(tensors), "x"), { quickGelu: true })),
      ).toEqual(shapes);
    }
  });

  it("is OpenAI's where it has OpenAI's scalars: QuickGELU", () => {
    const tensors = new Map<string, StoredTensor>([...randomState(resnet), ...scalars]);
    const view = viewCheckpoint(tensors, "x");
    const config = inferClipConfig(view, { visionHeads: 4, textHeads: 2 });
    expect(config).toEqual(resnet);
    expect(takeState(view, config)).toEqual(randomState(resnet));
  });

  it("needs to be told its activation otherwise, for no tensor shows it", () => {
    const error = thrown(() => inferClipConfig(viewCheckpoint(randomState(vit), "w.safetensors"), {}));
    expect(error.message).toMatch(/w\.safetensors: neither its tensors nor .* which activation/);
    expect(error.hint).toMatch(/`quickGelu`: true for OpenAI's weights and PubMedCLIP/);
    // A ResNet has ReLUs, timm's ViT and BERT the exact GELU.
    for (const config of [biomedclip, { ...pmc, text_cfg: { ...pmc.text_cfg, attend_padding: false } }]) {
      expect(inferClipConfig(viewCheckpoint(randomState(config), "x"), {}).quick_gelu).toBe(false);
    }
  });

  it("says what cannot be inferred", () => {
    const without = (name: string) => {
      const state = new Map<string, StoredTensor>(randomState(vit));
      state.delete(name);
      return () => inferClipConfig(viewCheckpoint(state, "w.pt"), { quickGelu: true });
    };
    expect(thrown(without("ln_final.weight")).message).toBe(
      "w.pt: the architecture cannot be inferred, for the tensor ln_final.weight is missing",
    );
    const odd = new Map<string, StoredTensor>(randomState(vit));
    odd.set("visual.positional_embedding", { shape: [7, 32], data: new Float32Array(7 * 32) });
    expect(thrown(() => inferClipConfig(viewCheckpoint(odd, "w.pt"), { quickGelu: true })).message).toMatch(
      /positional_embedding has 7 rows, which is no square/,
    );
  });

  it("is no CLIP's where its keys are of no known format", () => {
    const tensors = new Map([["fc.weight", { shape: [1], data: new Float32Array(1) }]]);
    expect(thrown(() => viewCheckpoint(tensors, "x.safetensors")).message).toMatch(
      /x\.safetensors is no CLIP checkpoint: its 1 tensors \(fc\.weight\)/,
    );
    expect(thrown(() => viewCheckpoint(new Map(), "x")).message).toBe("x holds no tensors");
  });
});

describe("formats", () => {
  it("drops `module.` and entries that are no parameters", () => {
    const wrapped = new Map<string, StoredTensor>(
      [...randomState(resnet), ...scalars].map(([name, tensor]) => [`module.${name}`, tensor]),
    );
    wrapped.set("module.visual.bn1.num_batches_tracked", { shape: [], data: BigInt64Array.of(3n) });
    expect(takeState(viewCheckpoint(wrapped, "x"), resnet)).toEqual(randomState(resnet));
  });

  it("takes a text tower apart from the model", () => {
    const apart = new Map(
      [...randomState(vit)].map(([name, tensor]) => [
        /^(visual\.|logit_scale)/.test(name) ? name : `text.${name}`,
        tensor,
      ]),
    );
    expect(takeState(viewCheckpoint(apart, "x"), vit)).toEqual(randomState(vit));
  });

  it.each([
    ["its largest id", smallModels.vit],
    ["its first end", { ...smallModels.vit, quick_gelu: true, text_cfg: { ...vit.text_cfg, eos_id: 9 } }],
  ])("Hugging Face's CLIPModel, pooled at %s", (_, config) => {
    const view = viewCheckpoint(asHuggingFace(randomState(config)), "x");
    const hints = huggingFaceHints(huggingFaceConfig(config), "config.json");
    expect(inferClipConfig(view, hints)).toEqual(config);
    expect(takeState(view, config)).toEqual(randomState(config));
  });

  it("Hugging Face's preprocessor says how pixels are normalised; other activations are refused", () => {
    const json = huggingFaceConfig(vit);
    const preprocess = { mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] };
    const hints = huggingFaceHints(json, "config.json", {
      image_mean: preprocess.mean,
      image_std: preprocess.std,
    });
    expect(hints.preprocess).toEqual(preprocess);
    const other = { ...json, text_config: { ...json.text_config, hidden_act: "relu" } };
    expect(thrown(() => huggingFaceHints(other, "config.json")).message).toMatch(
      /not built: hidden_act: "relu"/,
    );
    expect(huggingFaceHints({ model_type: "bert", num_attention_heads: 3 }, "c")).toEqual({ textHeads: 3 });
    expect(huggingFaceHints({ model_type: "vit" }, "c")).toEqual({});
  });

  it("lists everything that does not fit, at once, by the file's own names", () => {
    const tensors = asHuggingFace(randomState(vit));
    tensors.delete("text_model.encoder.layers.0.self_attn.k_proj.bias");
    tensors.delete("vision_model.pre_layrnorm.bias");
    tensors.set("vision_model.head.weight", { shape: [1], data: new Float32Array(1) });
    tensors.set("visual_projection.weight", { shape: [9, 32], data: new Float32Array(9 * 32) });
    tensors.set("logit_scale", { shape: [], data: BigInt64Array.of(1n) });
    expect(thrown(() => takeState(viewCheckpoint(tensors, "hf.bin"), vit)).message).toBe(
      "hf.bin does not hold the architecture asked for: " +
        "2 missing (vision_model.pre_layrnorm.bias, text_model.encoder.layers.0.self_attn.k_proj.bias); " +
        "1 not part of the architecture (vision_model.head.weight); " +
        "2 of another shape (visual_projection.weight is [32, 9] and should be [32, 16], logit_scale is [] and should be [] of floats)",
    );
  });

  it("resizes the positions of every image tower", () => {
    for (const config of [vit, biomedclip, resnet] as ClipConfig[]) {
      const larger = {
        ...config,
        vision_cfg: { ...config.vision_cfg, image_size: 2 * config.vision_cfg.image_size },
      };
      const state = takeState(viewCheckpoint(randomState(config), "x"), larger);
      for (const [name, shape] of stateShapes(larger)) expect(state.get(name)?.shape, name).toEqual(shape);
    }
  });
});

describe("PMC-CLIP", () => {
  const files = async (parts: readonly Tensors[]): Promise<string[]> => {
    const folder = await mkdtemp(join(tmpdir(), "ranflow-pmc-"));
    return Promise.all(
      parts.map(async (part, index) => {
        const path = join(folder, `part${index}.safetensors`);
        await writeSafetensors(path, part);
        return path;
      }),
    );
  };
  const nothing = { config: undefined, preprocessor: undefined };

  it("comes in three files, whatever their order, with its temperature", async () => {
    const parts = asPmcParts(randomState(pmc));
    const view = await readClipCheckpoint(await files(parts.toReversed()));
    const config = await describeCheckpoint(view, nothing, { attnpoolHeads: 4, attendPadding: true });
    expect(config.vision_cfg).toEqual(pmc.vision_cfg);
    expect(config.text_cfg).toMatchObject({ hf_proj_type: "linear", hf_pooler_type: "cls_pooler", heads: 1 });
    const state = takeState(view, config);
    const expected = new Map(randomState(pmc)).set("logit_scale", {
      shape: [],
      data: Float32Array.of(4.4292),
    });
    expect(state).toEqual(expected);
  });

  it("is read out as its demo or as its training does", async () => {
    const view = await readClipCheckpoint(await files(asPmcParts(randomState(pmc))));
    const demo = await describeCheckpoint(view, nothing, {});
    const train = await describeCheckpoint(view, nothing, { textReadout: "train" });
    expect(demo.vision_cfg).toMatchObject({ head_width: 128 / 8 });
    expect(demo.text_cfg).not.toHaveProperty("attend_padding");
    expect(train.text_cfg).toMatchObject({
      hf_pooler_type: "cls_last_hidden_state_pooler",
      attend_padding: true,
    });
    // BERT's pooler is in the file all the same, and not read.
    expect(takeState(view, train).has("text.transformer.pooler.dense.weight")).toBe(false);
  });

  it("names files that are none of the three", async () => {
    const [image, text] = asPmcParts(randomState(pmc));
    const paths = await files([image, text, new Map([["a", { shape: [1], data: new Float32Array(1) }]])]);
    await expect(readClipCheckpoint(paths)).rejects.toThrow(
      /neither one checkpoint in shards nor the three files of PMC-CLIP/,
    );
  });

  it("takes BERT's heads from a configuration beside it", async () => {
    const view = await readClipCheckpoint(await files(asPmcParts(randomState(pmc))));
    const path = join(await mkdtemp(join(tmpdir(), "ranflow-bert-")), "config.json");
    await writeFile(path, JSON.stringify({ model_type: "bert", num_attention_heads: 2 }));
    const config = await describeCheckpoint(view, { config: path, preprocessor: undefined }, {});
    expect(config.text_cfg.heads).toBe(2);
  });
});
