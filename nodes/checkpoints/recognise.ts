import { viewCheckpoint } from "../clip/checkpoint-view.ts";
import { formatClipConfig } from "../clip/config-json.ts";
import { inferClipConfig } from "../clip/infer.ts";

/** What the names and shapes of a checkpoint say of its model. */
export interface Recognised {
  readonly format: string;
  /** OpenCLIP's `model_cfg`, where it can be worked out. Heads follow width / 64, which no shape shows. */
  readonly architecture?: object;
}

/** Formats by a tensor that only they have, the most particular first. */
const formats: readonly (readonly [sign: RegExp, format: string])[] = [
  [/^visual\.trunk\./, "BiomedCLIP (OpenCLIP with timm's ViT and a BERT)"],
  [/^fusion_module\./, "PMC-CLIP, whole"],
  [/^vision_model\./, "Hugging Face CLIP"],
  [/^visual\.layer1\./, "CLIP with a ResNet (OpenCLIP's and OpenAI's names)"],
  [/^visual\.class_embedding$/, "CLIP with a ViT (OpenCLIP's and OpenAI's names)"],
  [/^attnpool\./, "image encoder of PMC-CLIP (split files)"],
  [/^(bert\.)?embeddings\.word_embeddings\./, "BERT (text encoder of PMC-CLIP's split files, PubMedBERT)"],
];

/**
 * Recognises a checkpoint by the names of its tensors.
 *
 * @param shapes by name, without a prefix that all of them share
 */
export function recogniseModel(shapes: ReadonlyMap<string, readonly number[]>): Recognised | undefined {
  const names = [...shapes.keys()];
  const isSplit = ["attnpool.positional_embedding", "embeddings.word_embeddings.weight"].every((name) =>
    shapes.has(name),
  );
  if (isSplit) return { format: "PMC-CLIP in split files" };
  const format = formats.find(([sign]) => names.some((name) => sign.test(name)))?.[1];
  if (format === undefined) {
    const [only] = shapes.values();
    return shapes.size === 1 && only?.length === 2
      ? { format: "one matrix (text projection of PMC-CLIP's split files)" }
      : undefined;
  }
  const tensors = [...shapes].map(([name, shape]) => [name, { shape, data: new Float32Array() }] as const);
  try {
    // The activation shows in no tensor; of all else it changes nothing.
    const config = inferClipConfig(viewCheckpoint(new Map(tensors), "it"), {
      quickGelu: shapes.has("input_resolution"),
    });
    return { format, architecture: formatClipConfig(config).model_cfg };
  } catch {
    return { format };
  }
}
