/**
 * What the node library's ports hold, byte for byte. Every reader and writer of these files goes through the
 * functions beside this one (`nodes/records.ts`, `nodes/features.ts`, ...): no node writes them by hand.
 *
 * pairs     JSON lines of ImageText, in dataset order; `captionNoise` only where there is any.
 * images    JSON lines: one ImagesHeader, then ImageLabels.
 * questions JSON lines: one QuestionsHeader, then ImageQuestion.
 * clip-model  folder: open_clip_model.safetensors (OpenCLIP keys, PyTorch layout), open_clip_config.json
 *             ({ model_cfg, preprocess_cfg }, as OpenCLIP writes it, and ranflow_cfg where that is not enough),
 *             merges.txt (BPE merges; the whole vocabulary follows from them) or, for BERT, vocab.txt.
 * features  folder: features.safetensors ({ features: F32 [N, D], labels: I32 [N, K], -1 = unknown }) and
 *           features.json (FeaturesHeader).
 * head      folder: head.safetensors and head.json (HeadHeader).
 * tokens    folder: tokens.safetensors ({ image: F16 [images, N, W], text: F16 [T, V], the tokens of all questions one
 *           after the other, without padding }) and tokens.json (TokensHeader).
 * vqa-model  folder: fusion.safetensors (METER's names, PyTorch layout), fusion.json (FusionHeader), and a head whose
 *           labels are the answers.
 * metrics   one JSON object: flat, scalars only.
 * table     JSON lines of flat objects.
 * report    folder: table.{md,csv,tex,json}, figure.{svg,png,json}, or a sheet: a figure, and sheet.md where it is text.
 */
import type { BlobRef, Scalar } from "../engine/sdk.ts";

/** One image-caption pair. */
export interface ImageText {
  readonly id: string;
  readonly image: BlobRef;
  readonly caption: string;
  /** Random noise that training adds to the embeddings of the caption's tokens (METHOD 6). */
  readonly captionNoise?: CaptionNoise;
}

/** Gaussian noise of a caption; which one follows from the seed and the pair's id. */
export interface CaptionNoise {
  /** Its standard deviation, relative to that of the model's embedding table. */
  readonly relSigma: number;
  readonly seed: number;
}

/** First line of an `images` file. */
export interface ImagesHeader {
  /** Stamped by the loader, for instance `chestxray14`. */
  readonly dataset: string;
  /** `train`, `val` or `test`. */
  readonly split: string;
  readonly labels: readonly string[];
}

/** One labelled image; `y` follows the header's labels, null = unknown. */
export interface ImageLabels {
  readonly id: string;
  readonly image: BlobRef;
  readonly y: readonly (0 | 1 | null)[];
}

/** First line of a `questions` file. */
export interface QuestionsHeader {
  /** Stamped by the loader, for instance `slake`. */
  readonly dataset: string;
  readonly split: string;
}

/** A question on an image with its answer; several may ask about one image. */
export interface ImageQuestion {
  readonly id: string;
  readonly image: BlobRef;
  readonly question: string;
  /** As the dataset has it. */
  readonly answer: string;
  readonly answerType: "open" | "closed";
  /** Language of question and answer, for instance `en`. */
  readonly lang: string;
}

/** What `features.json` says about a feature matrix. */
export interface FeaturesHeader {
  readonly dataset: string;
  readonly split: string;
  readonly labels: readonly string[];
  readonly ids: readonly string[];
  /** `projected` (after the projection, not normalised) or `pre_proj`. */
  readonly feature: "projected" | "pre_proj";
}

/** What `head.json` says about a trained head. */
export interface HeadHeader {
  readonly method: "probe" | "mlp" | "ran" | "nmtune";
  /** `multi-label` scores each label by a sigmoid, `single-label` all of them by a softmax. */
  readonly task: "multi-label" | "single-label";
  /** Dataset the head was trained on: the same dataset is in domain, any other out of domain. */
  readonly dataset: string;
  readonly labels: readonly string[];
  readonly dim: number;
  /** Hidden width; 0 for a probe. */
  readonly hidden: number;
  readonly residual: boolean;
  readonly batchNorm: boolean;
  /** METER's own head in place of the linear one; of a `vqa-model` only. */
  readonly meter?: true;
  /** Decision threshold per label. */
  readonly thresholds: readonly number[];
}

/** What `tokens.json` says about the tokens of a dataset's questions. */
export interface TokensHeader {
  readonly dataset: string;
  readonly split: string;
  /** In dataset order. */
  readonly records: readonly TokensRecord[];
  /** Each question once, in the order in which its tokens lie. */
  readonly questions: readonly {
    readonly text: string;
    /** Number of its tokens. */
    readonly length: number;
    /** The one that its encoder reads the text from: the end of text of CLIP's, the first of BERT's. */
    readonly pooled: number;
  }[];
}

/** A question on an image by its rows. */
export interface TokensRecord {
  readonly id: string;
  /** Row of the image. */
  readonly image: number;
  /** Index of the question. */
  readonly question: number;
  /** As the dataset has it. */
  readonly answer: string;
  readonly answerType: ImageQuestion["answerType"];
}

/** What `fusion.json` says about a trained fusion. */
export interface FusionHeader {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly ffn: number;
  readonly inputs: { readonly text: number; readonly image: number };
  /** The text token that is pooled: the encoder's own, or the first. */
  readonly textPool: "eot" | "first";
  /** `softmax` scores answers against each other, `bce` each by a sigmoid. */
  readonly loss: "softmax" | "bce";
}

/** A flat record of measured values: what a `metrics` port holds. */
export type MetricsRecord = Readonly<Record<string, Scalar>>;
