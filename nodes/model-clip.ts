import { z } from "zod";
import { defineNode, NodeError, port } from "../engine/sdk.ts";
import type { NodeType } from "../engine/sdk.ts";
import { bertDefaults, clipPreprocess, clipPresets, configProblem } from "./clip/config.ts";
import type { ClipConfig, ClipPreset, TextConfig, VisionConfig } from "./clip/config.ts";
import { findCheckpoint } from "./clip/checkpoint.ts";
import type { CheckpointFiles } from "./clip/checkpoint.ts";
import type { ModelVocabulary, VocabularySource } from "./clip/model-vocabulary.ts";
import { publishedSize } from "./clip/published-size.ts";

const count = z.int().min(1);

const vit = z.strictObject({
  image_size: count,
  layers: count,
  width: count,
  head_width: count.default(64),
  patch_size: count,
});

const resNet = z.strictObject({
  image_size: count,
  layers: z.tuple([count, count, count, count]),
  width: count,
  head_width: count.default(64),
});

const clipText = z.strictObject({
  context_length: count.default(77),
  vocab_size: count.default(49408),
  width: count,
  heads: count,
  layers: count,
});

const bert = z.strictObject({
  hf_model_name: z.string().regex(/^(?!.*roberta)/i, "only BERTs are built"),
  hf_proj_type: z.enum(["linear", "mlp"]).default("mlp"),
  hf_pooler_type: z
    .enum(["cls_pooler", "cls_last_hidden_state_pooler"])
    .default("cls_last_hidden_state_pooler"),
  context_length: count.max(512).default(77),
  vocab_size: count.default(30522),
  width: count,
  heads: count,
  layers: count,
});

const archSchema = z.strictObject({
  embed_dim: count,
  vision_cfg: z.union([vit, resNet, vit.extend({ timm_model_name: z.string() })]),
  text_cfg: z.union([clipText, bert]),
  quick_gelu: z.boolean().default(false),
});

const params = z.object({
  arch: z
    .union([z.enum(Object.keys(clipPresets) as [ClipPreset, ...ClipPreset[]]), archSchema])
    .optional()
    .meta({
      description:
        "architecture: a preset's name or OpenCLIP's `model_cfg`, of which four `layers` make a ResNet, `timm_model_name` a ViT of timm and `hf_model_name` a BERT; read from the checkpoint where absent",
    }),
  checkpoint: z.string().optional().meta({
    description:
      "a checkpoint of OpenCLIP, OpenAI, Hugging Face's CLIPModel, BiomedCLIP, PubMedCLIP or PMC-CLIP: a file or its folder; random weights where absent",
    path: true,
  }),
  vocab: z.enum(["learned", "checkpoint"]).optional().meta({
    description:
      "where the vocabulary (BPE, or BERT's word pieces) comes from: learned from `captions`, or the file beside the checkpoint; by default the checkpoint's where there is one",
  }),
  vocabFile: z.string().optional().meta({
    description:
      "a vocabulary file (merges.txt, tokenizer.json, bpe_simple_vocab_16e6.txt.gz; vocab.txt for BERT)",
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
  attnpoolHeads: count.optional().meta({
    description:
      "heads of a ResNet's attention pool; width / 2 unless told (32 for RN50), and 8 with PMC-CLIP's split files, as its demo has it",
  }),
  textReadout: z.enum(["demo", "train"]).optional().meta({
    description:
      "what PMC-CLIP reads a text from: BERT's pooler, as its demo does (the default), or the last hidden state of [CLS], as its training does",
  }),
  attendPadding: z.boolean().optional().meta({
    description: "PMC-CLIP attends to padding, as its training does; true with `textReadout: train`",
  }),
});

type Params = z.output<typeof params>;

/** Where the vocabulary comes from, once defaults are applied. */
function vocabularySource({ vocab, vocabFile, checkpoint }: Params): VocabularySource {
  if (vocabFile !== undefined) return "file";
  return vocab ?? (checkpoint === undefined ? "learned" : "checkpoint");
}

const findFiles = (given: Params): Promise<CheckpointFiles> =>
  findCheckpoint({
    checkpoint: given.checkpoint,
    vocabFile: given.vocabFile,
    wantVocabulary: vocabularySource(given) === "checkpoint",
  });

/** The architecture that is named or written out. */
function archOf(arch: NonNullable<Params["arch"]>): ClipConfig {
  if (typeof arch === "string") return clipPresets[arch];
  return {
    ...arch,
    vision_cfg: visionOf(arch.vision_cfg),
    text_cfg: textOf(arch.text_cfg),
    preprocess_cfg: clipPreprocess,
  };
}

function visionOf(given: z.output<typeof archSchema>["vision_cfg"]): VisionConfig {
  if ("timm_model_name" in given) return { tower: "timm-vit", ...given };
  return "patch_size" in given ? { tower: "vit", ...given } : { tower: "resnet", ...given };
}

function textOf(given: z.output<typeof archSchema>["text_cfg"]): TextConfig {
  return "hf_model_name" in given
    ? { tower: "bert", ...given, ...bertDefaults(given.width) }
    : { tower: "clip", ...given };
}

/** `model.clip`: a CLIP to start from, random or from a checkpoint. */
export const modelClip: NodeType = defineNode({
  type: "model.clip",
  version: 1,
  summary: "A CLIP model to start from: random weights of an architecture, or a checkpoint",
  details:
    "Random weights are drawn as OpenCLIP initialises its ViT, ResNet and text transformer, timm its ViT and Hugging Face its BERT. A checkpoint's format is told by its keys, its architecture comes from its configuration file or the shapes of its tensors, and it is checked tensor by tensor; the model that is written has OpenCLIP's keys. The vocabulary is a checkpoint's, a file's, or learned from captions: byte-pair merges, or word pieces for BERT.",
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
    if (typeof given.arch === "object") return configProblem(archOf(given.arch));
    if (given.checkpoint === undefined) {
      const told = (["attnpoolHeads", "textReadout", "attendPadding"] as const).find(
        (name) => given[name] !== undefined,
      );
      if (told) return `\`${told}\` is about a \`checkpoint\`, and there is none`;
    }
    return undefined;
  },
  checkInputs: (given, bound) =>
    vocabularySource(given) === "learned" && !bound.includes("captions")
      ? "its vocabulary is to be learned from captions: bind `captions` to pairs, or give `vocabFile`"
      : undefined,
  growth: { time: ({ written }) => written, published: ({ checkpoint }) => publishedSize(checkpoint) },
  async scan({ params: given }) {
    if (given.checkpoint === undefined && given.vocabFile === undefined) return undefined;
    const { root, weights, config, preprocessor, vocabularies } = await findFiles(given);
    const files = [...weights, config, preprocessor, ...vocabularies].filter((name) => name !== undefined);
    return { dataset: "CLIP checkpoint", root, files };
  },
  async run({ params: given, inputs, external, seed, outputs, scratch, log }) {
    const { initialise } = await import("./clip/initialise.ts");
    const { writeClipModel } = await import("./clip/folder.ts");
    const { describeCheckpoint, readClipCheckpoint, overridden } = await import("./clip/load-checkpoint.ts");
    const { modelVocabulary } = await import("./clip/model-vocabulary.ts");
    const { tokenTable } = await import("./clip/shapes.ts");
    const { takeState } = await import("./clip/weights.ts");

    const found: CheckpointFiles =
      external.size > 0 ? await findFiles(given) : { root: "", weights: [], vocabularies: [] };
    const paths = (names: readonly (string | undefined)[]): string[] =>
      names.flatMap((name) => (name === undefined ? [] : (external.get(name)?.path ?? [])));
    const vocabularyFor = (text: TextConfig): Promise<ModelVocabulary> =>
      modelVocabulary({
        source: vocabularySource(given),
        text,
        files: paths(found.vocabularies),
        captions: inputs.captions?.path,
        vocabSize: given.vocabSize,
        scratch,
        log,
      });

    if (found.weights.length === 0) {
      if (!given.arch) throw new Error("internal error: neither an architecture nor a checkpoint");
      const arch = overridden(archOf(given.arch), given);
      const { path, size } = await vocabularyFor(arch.text_cfg);
      const config = { ...arch, text_cfg: { ...arch.text_cfg, vocab_size: size } };
      return writeClipModel(outputs.model.path, {
        config,
        state: initialise(config, seed),
        vocabulary: path,
      });
    }
    const view = await readClipCheckpoint(paths(found.weights));
    const [config, preprocessor] = [paths([found.config])[0], paths([found.preprocessor])[0]];
    const described = given.arch
      ? overridden(archOf(given.arch), given)
      : await describeCheckpoint(view, { config, preprocessor }, given);
    // The checkpoint is looked at first: what is wrong with it explains what else does not fit.
    const state = takeState(view, described);
    const { vocab_size: entries } = described.text_cfg;
    const { path, size, origin } = await vocabularyFor(described.text_cfg);
    if (size !== entries) {
      throw new NodeError(
        `the vocabulary (${origin}) has ${size} entries, and ${view.source} has ${entries} in its table ${view.names(tokenTable(described.text_cfg)).join(", ")}`,
        { hint: "Give the checkpoint's own vocabulary with `vocabFile`." },
      );
    }
    await writeClipModel(outputs.model.path, { config: described, state, vocabulary: path });
  },
});
