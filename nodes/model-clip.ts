import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { defineNode, NodeError, port } from "../engine/sdk.ts";
import type { LocatedFile, NodeType, RunContext } from "../engine/sdk.ts";
import { clipPresets, configProblem, inferClipConfig, parseClipConfig } from "./clip/config.ts";
import type { ClipConfig, ClipPreset } from "./clip/config.ts";
import { findCheckpoint } from "./clip/checkpoint.ts";
import type { CheckpointFiles } from "./clip/checkpoint.ts";

const count = z.int().min(1);

const archSchema = z.strictObject({
  embed_dim: count,
  vision_cfg: z.strictObject({
    image_size: count,
    layers: count,
    width: count,
    head_width: count.default(64),
    patch_size: count,
  }),
  text_cfg: z.strictObject({
    context_length: count.default(77),
    vocab_size: count.default(49408),
    width: count,
    heads: count,
    layers: count,
  }),
  quick_gelu: z.boolean().default(false),
});

const params = z.object({
  arch: z
    .union([z.enum(Object.keys(clipPresets) as [ClipPreset, ...ClipPreset[]]), archSchema])
    .optional()
    .meta({
      description:
        "architecture: a preset's name or OpenCLIP's `model_cfg`; read from the checkpoint where absent",
    }),
  checkpoint: z.string().optional().meta({
    description: "an OpenCLIP checkpoint: a .safetensors file or its folder; random weights where absent",
    path: true,
  }),
  vocab: z.enum(["learned", "checkpoint"]).optional().meta({
    description:
      "where the BPE vocabulary comes from: learned from `captions`, or the file beside the checkpoint; by default the checkpoint's where there is one",
  }),
  vocabFile: z.string().optional().meta({
    description: "a vocabulary file (merges.txt, tokenizer.json, bpe_simple_vocab_16e6.txt.gz)",
    path: true,
  }),
  vocabSize: z
    .int()
    .min(514)
    .optional()
    .meta({ description: "entries of a learned vocabulary; the architecture's unless told" }),
  imageSize: z.int().min(1).optional().meta({
    description: "side of the input image; positions are resized to it",
    unit: "px",
  }),
  quickGelu: z
    .boolean()
    .optional()
    .meta({ description: "QuickGELU activations, as OpenAI's own weights need; overrides the checkpoint" }),
});

type Params = z.output<typeof params>;

/** Where the vocabulary comes from, once defaults are applied. */
function vocabularySource({ vocab, vocabFile, checkpoint }: Params): "file" | "checkpoint" | "learned" {
  if (vocabFile !== undefined) return "file";
  return vocab ?? (checkpoint === undefined ? "learned" : "checkpoint");
}

const findFiles = (given: Params): Promise<CheckpointFiles> =>
  findCheckpoint({
    checkpoint: given.checkpoint,
    vocabFile: given.vocabFile,
    wantVocabulary: vocabularySource(given) === "checkpoint",
  });

/** `model.clip`: a CLIP to start from, random or from a checkpoint. */
export const modelClip: NodeType = defineNode({
  type: "model.clip",
  version: 1,
  summary: "A CLIP model to start from: random weights of an architecture, or an OpenCLIP checkpoint",
  details:
    "Random weights are drawn as OpenCLIP initialises a ViT CLIP. A checkpoint is checked tensor by tensor against its architecture. The vocabulary is a checkpoint's, a file's, or byte-pair merges learned from captions.",
  inputs: {
    captions: port("pairs", {
      optional: true,
      description: "captions to learn a vocabulary from; read only with a learned vocabulary",
    }),
  },
  outputs: { model: port("clip-model") },
  params,
  seeded: true,
  reads: (given) => (vocabularySource(given) === "learned" ? ["captions"] : []),
  check(given) {
    if (given.arch === undefined && given.checkpoint === undefined)
      return "give `arch` or `checkpoint`: there is nothing to make a model from";
    if (given.vocab === "checkpoint" && given.checkpoint === undefined)
      return "`vocab: checkpoint` needs a `checkpoint`";
    if (typeof given.arch === "object") return configProblem(given.arch);
    return undefined;
  },
  checkInputs: (given, bound) =>
    vocabularySource(given) === "learned" && !bound.includes("captions")
      ? "its vocabulary is to be learned from captions: bind `captions` to pairs, or give `vocabFile`"
      : undefined,
  async scan({ params: given }) {
    if (given.checkpoint === undefined && given.vocabFile === undefined) return undefined;
    const { root, weights, config, vocabulary } = await findFiles(given);
    const files = [weights, config, vocabulary].filter((name) => name !== undefined);
    return { dataset: "CLIP checkpoint", root, files };
  },
  async run(context) {
    const { initialise } = await import("./clip/initialise.ts");
    const { writeClipModel } = await import("./clip/folder.ts");
    const { takeState } = await import("./clip/weights.ts");
    const { readSafetensors } = await import("./safetensors.ts");
    const { params: given, external, seed, outputs } = context;

    const found: CheckpointFiles = external.size > 0 ? await findFiles(given) : { root: "" };
    const weights = externalFile(external, found.weights);
    const architecture = await chooseArchitecture(given, {
      weights,
      config: externalFile(external, found.config),
    });
    const shaped = withImageSize(architecture, given.imageSize);
    // The checkpoint is looked at first: what is wrong with it explains what else does not fit.
    const loaded = weights && takeState((await readSafetensors(weights.path)).tensors, shaped, weights.path);
    const vocabulary = externalFile(external, found.vocabulary);
    const { merges, size } = await vocabularyFor(context, shaped, vocabulary);
    if (weights && size !== shaped.text_cfg.vocab_size) {
      throw new NodeError(
        `the vocabulary has ${size} entries, the checkpoint ${weights.path} ${shaped.text_cfg.vocab_size}`,
        { hint: "Give the checkpoint's own vocabulary with `vocabFile`." },
      );
    }
    const config: ClipConfig = { ...shaped, text_cfg: { ...shaped.text_cfg, vocab_size: size } };
    const state = loaded ?? initialise(config, seed);
    await writeClipModel(outputs.model.path, { config, state, merges });
  },
});

/** @throws NodeError where the image size does not go with the architecture */
function withImageSize(config: ClipConfig, imageSize: number | undefined): ClipConfig {
  if (imageSize === undefined) return config;
  const resized = { ...config, vision_cfg: { ...config.vision_cfg, image_size: imageSize } };
  const problem = configProblem(resized);
  if (problem) throw new NodeError(problem, { hint: "Give another `imageSize`." });
  return resized;
}

async function chooseArchitecture(
  given: Params,
  files: { weights: LocatedFile | undefined; config: LocatedFile | undefined },
): Promise<ClipConfig> {
  const { parseJson } = await import("./clip/folder.ts");
  const { readSafetensorsShapes } = await import("./safetensors.ts");
  const chosen = await (async (): Promise<ClipConfig> => {
    if (typeof given.arch === "string") return clipPresets[given.arch];
    if (given.arch) return given.arch;
    if (files.config) {
      const { path } = files.config;
      return parseClipConfig(parseJson(await readFile(path, "utf8"), path), path);
    }
    if (files.weights) {
      const { path } = files.weights;
      return inferClipConfig(await readSafetensorsShapes(path), path, given.quickGelu ?? false);
    }
    throw new NodeError("there is neither an architecture nor a checkpoint", {
      hint: "Give `arch` or `checkpoint`.",
    });
  })();
  return given.quickGelu === undefined ? chosen : { ...chosen, quick_gelu: given.quickGelu };
}

/** The merges file to go with the model, and how many entries its vocabulary has. */
async function vocabularyFor(
  {
    params: given,
    inputs,
    scratch,
    log,
  }: RunContext<Params, { captions: { type: "pairs"; optional: true } }>,
  architecture: ClipConfig,
  file: LocatedFile | undefined,
): Promise<{ merges: string; size: number }> {
  const { createClipTokenizer, learnMerges, readMerges, writeMerges } = await import("./text/index.ts");
  const { readPairs } = await import("./records.ts");
  const { context_length: contextLength, vocab_size: vocabSize } = architecture.text_cfg;
  const written = join(scratch, "merges.txt");
  const source = vocabularySource(given);
  let merges: string[];
  if (source === "learned") {
    if (!inputs.captions) {
      throw new NodeError("a vocabulary is to be learned, but no captions are bound", {
        hint: "Bind `captions` to pairs, or give `vocabFile` or a checkpoint with a vocabulary.",
      });
    }
    const pairs = await readPairs(inputs.captions.path);
    merges = learnMerges(
      pairs.map(({ caption }) => caption),
      given.vocabSize ?? vocabSize,
    );
    log(`learned ${merges.length} merges from ${pairs.length} captions`);
  } else {
    if (!file) {
      throw new NodeError(`the checkpoint ${given.checkpoint ?? ""} has no vocabulary beside it`, {
        hint: "Give `vocabFile`, or `vocab: learned` with random weights.",
      });
    }
    merges = await readMerges(file.path);
  }
  await writeMerges(written, merges);
  return { merges: written, size: createClipTokenizer({ merges, contextLength }).vocabSize };
}

function externalFile(
  files: ReadonlyMap<string, LocatedFile>,
  name: string | undefined,
): LocatedFile | undefined {
  return name === undefined ? undefined : files.get(name);
}
