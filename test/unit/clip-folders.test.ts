import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { NodeError } from "../../engine/sdk.ts";
import { attackImagePgd } from "../../nodes/attack-image-pgd.ts";
import { clipEmbedImages } from "../../nodes/clip-embed-images.ts";
import { clipEmbedQuestions } from "../../nodes/clip-embed-questions.ts";
import { clipPretrain } from "../../nodes/clip-pretrain.ts";
import { formatClipConfig } from "../../nodes/clip/config-json.ts";
import type { ClipConfig } from "../../nodes/clip/config.ts";
import type { TokensHeader } from "../../nodes/formats.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import { readImages, readTable, writeQuestions } from "../../nodes/records.ts";
import { readSafetensors, writeSafetensors } from "../../nodes/safetensors.ts";
import type { StoredTensor } from "../../nodes/safetensors.ts";
import {
  asHuggingFace,
  asPmcParts,
  huggingFaceConfig,
  randomState,
  smallModels,
} from "../rig/clip-models.ts";
import { pictureWorld } from "../rig/picture-world.ts";
import type { PictureWorld } from "../rig/picture-world.ts";
import { floats, tensor, torchFile } from "../rig/torch-file.ts";
import type { Pickled } from "../rig/torch-file.ts";
import { runNode } from "../rig/run-node.ts";
import type { NodeRunOptions } from "../rig/run-node.ts";

const { vit, resnet, biomedclip, "pmc-clip": pmc } = smallModels;

/** A vocabulary of so many ids, as CLIP and as BERT have it. */
const merges = (size: number): string =>
  ["#version: 0.2", ...Array.from({ length: size - 514 }, (_, at) => `a${at} b${at}`)].join("\n");
const wordPieces = (size: number): string =>
  [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    ...Array.from({ length: size - 5 }, (_, at) => `word${at}`),
  ].join("\n");

/** A checkpoint's folder: weights by file name, and other files with their text. */
async function checkpoint(
  weights: Readonly<Record<string, ReadonlyMap<string, StoredTensor>>>,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ranflow-checkpoint-"));
  for (const [name, tensors] of Object.entries(weights)) await writeSafetensors(join(folder, name), tensors);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

const openClipFolder = (config: ClipConfig, files: Readonly<Record<string, string>> = {}): Promise<string> =>
  checkpoint(
    { "open_clip_model.safetensors": randomState(config) },
    {
      "open_clip_config.json": JSON.stringify(formatClipConfig(config)),
      ...(config.text_cfg.tower === "bert"
        ? { "vocab.txt": wordPieces(config.text_cfg.vocab_size) }
        : { "merges.txt": merges(config.text_cfg.vocab_size) }),
      ...files,
    },
  );

const load = async (params: NonNullable<NodeRunOptions["params"]>) => {
  const { outputs } = await runNode(modelClip, { params });
  const path = outputs["model"]!;
  return {
    path,
    config: JSON.parse(await readFile(join(path, "open_clip_config.json"), "utf8")) as unknown,
    tensors: (await readSafetensors(join(path, "open_clip_model.safetensors"))).tensors,
  };
};

let world: PictureWorld;
beforeAll(async () => {
  world = await pictureWorld();
});

describe("model.clip from a checkpoint's folder", () => {
  it("Hugging Face: written with OpenCLIP's keys, configuration and normalisation included", async () => {
    const preprocess = { mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] } as const;
    const folder = await checkpoint(
      { "model.safetensors": asHuggingFace(randomState(vit)) },
      {
        "config.json": JSON.stringify(huggingFaceConfig(vit)),
        "preprocessor_config.json": JSON.stringify({
          image_mean: preprocess.mean,
          image_std: preprocess.std,
        }),
        "merges.txt": merges(560),
      },
    );
    const { config, tensors } = await load({ checkpoint: folder });
    expect(config).toEqual(formatClipConfig({ ...vit, preprocess_cfg: preprocess }));
    expect(tensors).toEqual(new Map([...randomState(vit)].toSorted(([a], [b]) => (a < b ? -1 : 1))));
  });

  it("BiomedCLIP: with its word pieces, and loads its own output unchanged", async () => {
    const first = await load({ checkpoint: await openClipFolder(biomedclip) });
    expect(await readFile(join(first.path, "vocab.txt"), "utf8")).toBe(`${wordPieces(40)}\n`);
    const again = await load({ checkpoint: first.path });
    expect(again.config).toEqual(first.config);
    expect(again.tensors).toEqual(first.tensors);
  });

  it("PMC-CLIP: its three files", async () => {
    const [image, text, projection] = asPmcParts(randomState(pmc));
    const folder = await checkpoint(
      {
        "image_encoder(resnet50).safetensors": image,
        "text_encoder.safetensors": text,
        "text_projection_layer.safetensors": projection,
      },
      { "vocab.txt": wordPieces(40) },
    );
    const { config } = await load({ checkpoint: folder, attnpoolHeads: 4, attendPadding: true });
    expect(config).toMatchObject({
      model_cfg: { vision_cfg: { head_width: 32 }, text_cfg: { hf_pooler_type: "cls_pooler" } },
      ranflow_cfg: { attend_padding: true },
    });
  });

  it("PubMedCLIP: a training checkpoint of PyTorch, with OpenAI's names", async () => {
    const state = [...randomState(vit)];
    const values = state.flatMap(([, { data }]) => [...data]);
    let offset = 0;
    const weights = new Map<Pickled, Pickled>(
      state.map(([name, { shape, data }]) => {
        const stored = tensor({ key: "0", count: values.length, shape, offset });
        offset += data.length;
        return [name, stored];
      }),
    );
    const folder = await checkpoint({}, { "merges.txt": merges(560) });
    const wrapped = new Map<Pickled, Pickled>([
      ["epoch", 3],
      ["state_dict", weights],
    ]);
    await writeFile(join(folder, "PubMedCLIP_ViT32.pth"), torchFile(wrapped, { 0: floats(...values) }));
    const { tensors } = await load({ checkpoint: folder, quickGelu: true });
    for (const [name, stored] of state) expect(tensors.get(name), name).toEqual(stored);
  });

  it("Hugging Face: in shards", async () => {
    const all = [...asHuggingFace(randomState(vit))];
    const folder = await checkpoint(
      {
        "model-00001-of-00002.safetensors": new Map(all.slice(0, 20)),
        "model-00002-of-00002.safetensors": new Map(all.slice(20)),
      },
      { "config.json": JSON.stringify(huggingFaceConfig(vit)), "merges.txt": merges(560) },
    );
    const { tensors } = await load({ checkpoint: folder });
    expect(tensors.size).toBe(randomState(vit).size);
  });

  it("a file without configuration says its activation, or is told it", async () => {
    const folder = await checkpoint(
      { "weights.safetensors": randomState({ ...vit, text_cfg: { ...vit.text_cfg, heads: 1 } }) },
      { "merges.txt": merges(560) },
    );
    await expect(load({ checkpoint: folder })).rejects.toThrow(/weights\.safetensors: neither its tensors/);
    const { config } = await load({ checkpoint: folder, quickGelu: true });
    expect(config).toMatchObject({ model_cfg: { quick_gelu: true, vision_cfg: { head_width: 32 } } });
  });

  it("wants the vocabulary the checkpoint was trained with", async () => {
    const failure = async (files: Readonly<Record<string, string>>, config: ClipConfig) => {
      const error: unknown = await load({ checkpoint: await openClipFolder(config, files) }).catch(
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(NodeError);
      return (error as NodeError).message;
    };
    expect(await failure({ "merges.txt": merges(550) }, vit)).toMatch(
      /merges\.txt\) has 550 entries, and .*open_clip_model\.safetensors has 560 in its table token_embedding\.weight/,
    );
    expect(await failure({ "vocab.txt": wordPieces(39) }, biomedclip)).toMatch(
      /vocab\.txt\) has 39 entries, and .* has 40 in its table text\.transformer\.embeddings\.word_embeddings\.weight/,
    );
    expect(await failure({ "vocab.txt": "a\nb\n" }, biomedclip)).toMatch(
      /vocab\.txt is no WordPiece vocabulary/,
    );
    const bare = await checkpoint(
      { "open_clip_model.safetensors": randomState(biomedclip) },
      {
        "open_clip_config.json": JSON.stringify(formatClipConfig(biomedclip)),
        "merges.txt": merges(560),
      },
    );
    await expect(load({ checkpoint: bare })).rejects.toThrow(
      /BERT, and there is no vocab\.txt or tokenizer\.json beside it/,
    );
  });

  it("what is said of a checkpoint needs one", () => {
    const check = (given: object) => modelClip.check?.(modelClip.params.parse(given) as never);
    expect(check({ arch: "vit-nano", textReadout: "demo" })).toMatch(/`textReadout` is about a `checkpoint`/);
    expect(check({ checkpoint: "x", attnpoolHeads: 8 })).toBeUndefined();
  });
});

describe("clip.pretrain of a ResNet and of a BERT", () => {
  it("trains BiomedCLIP: captions become word pieces", async () => {
    const { path: init } = await load({ checkpoint: await openClipFolder(biomedclip) });
    const { outputs } = await runNode(clipPretrain, {
      folder: world.folder,
      backend: "wasm",
      params: { epochs: 1, batchSize: 7, learningRate: 1e-3, warmup: 1, augment: false },
      inputs: { pairs: world.pairs, init },
    });
    const again = await load({ checkpoint: outputs["model"]! });
    const before = (await readSafetensors(join(init, "open_clip_model.safetensors"))).tensors;
    for (const name of ["text.proj.0.weight", "visual.trunk.cls_token"])
      expect(again.tensors.get(name)?.data).not.toEqual(before.get(name)?.data);
  });

  it("trains a ResNet's weights, and leaves the statistics of its batch norms as they are", async () => {
    const { path: init } = await load({ checkpoint: await openClipFolder(resnet) });
    const { outputs } = await runNode(clipPretrain, {
      folder: world.folder,
      backend: "wasm",
      params: { epochs: 2, batchSize: 7, learningRate: 1e-3, warmup: 1, augment: false },
      inputs: { pairs: world.pairs, init },
    });
    const weights = (path: string) => readSafetensors(join(path, "open_clip_model.safetensors"));
    const [before, after] = [await weights(init), await weights(outputs["model"]!)];
    for (const [name, { data }] of after.tensors) {
      const same = data.every((value, at) => value === before.tensors.get(name)?.data[at]);
      expect(same, name).toBe(/running_(mean|var)$/.test(name));
    }
  });
});

describe.each([
  { name: "resnet", config: resnet as ClipConfig, width: 128, places: 1, words: undefined },
  // [CLS], two words, [UNK] for the question mark, [SEP]; read at its first token.
  { name: "biomedclip", config: biomedclip as ClipConfig, width: 24, places: 5, words: [5, 0] },
])("a $name in the nodes, on wasm", ({ config, width, places, words }) => {
  let model: string;
  beforeAll(async () => {
    model = (await load({ checkpoint: await openClipFolder(config) })).path;
  });
  const options = () => ({ folder: world.folder, backend: "wasm" });

  it("embeds images before and after the projection", async () => {
    for (const [feature, dim] of [
      ["projected", 16],
      ["pre_proj", width],
    ] as const) {
      const { outputs } = await runNode(clipEmbedImages, {
        ...options(),
        params: { feature },
        inputs: { model, images: world.images },
      });
      const { tensors } = await readSafetensors(join(outputs["features"]!, "features.safetensors"));
      expect(tensors.get("features")?.shape).toEqual([5, dim]);
      expect((tensors.get("features")!.data as Float32Array).every(Number.isFinite)).toBe(true);
    }
  });

  it("gives tokens of images and of questions, without padding", async () => {
    const { records } = await readImages(world.images);
    const questions = join(world.folder, "questions.jsonl");
    const asked = ["word3 word7?", "word1"].map((question, at) => ({
      id: `q${at}`,
      image: records[at]!.image,
      question,
      answer: "yes",
      answerType: "closed" as const,
      lang: "en",
    }));
    await writeQuestions(questions, { dataset: "test", split: "test" }, asked);
    const { outputs } = await runNode(clipEmbedQuestions, { ...options(), inputs: { model, questions } });
    const { tensors } = await readSafetensors(join(outputs["tokens"]!, "tokens.safetensors"));
    const header: TokensHeader = JSON.parse(await readFile(join(outputs["tokens"]!, "tokens.json"), "utf8"));
    const [first, second] = header.questions as [TokensHeader["questions"][0], TokensHeader["questions"][0]];
    if (words) expect([first.length, first.pooled]).toEqual(words);
    else expect(first.pooled).toBe(first.length - 1);
    expect(second.length).toBeLessThan(first.length);
    expect(tensors.get("image")!.shape).toEqual([2, places, width]);
    expect(tensors.get("text")!.shape).toEqual([first.length + second.length, config.text_cfg.width]);
  });

  it("is attacked as a surrogate", async () => {
    const { outputs } = await runNode(attackImagePgd, {
      ...options(),
      params: { steps: 8, percent: 30 },
      inputs: { pairs: world.pairs, targets: world.targets, model },
    });
    const report = await readTable(outputs["report"]!);
    const mean = (field: string) => report.reduce((sum, row) => sum + Number(row[field]), 0) / report.length;
    expect(mean("cosAfter")).toBeGreaterThan(mean("cosBefore"));
  });
});
