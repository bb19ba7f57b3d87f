/** Questions of the synthetic world with their tokens from a small CLIP, found through `runNode` in its folder. */
import { clipEmbedQuestions } from "../../nodes/clip-embed-questions.ts";
import { dataRocov2 } from "../../nodes/data-rocov2.ts";
import { dataSlake } from "../../nodes/data-slake.ts";
import { dataSynthetic } from "../../nodes/data-synthetic.ts";
import { dataVqaRad } from "../../nodes/data-vqa-rad.ts";
import { modelClip } from "../../nodes/model-clip.ts";
import type { JsonObject, NodeType } from "../../engine/sdk.ts";
import { runNode } from "./run-node.ts";

export interface VqaWorld {
  /** For `runNode`. */
  readonly folder: string;
  readonly model: string;
  /** `questions` artifacts. */
  readonly questions: Readonly<Record<"train" | "test" | "rad", string>>;
  /** `tokens` artifacts. */
  readonly tokens: Readonly<Record<"train" | "test" | "rad", string>>;
}

const arch = {
  embed_dim: 16,
  vision_cfg: { image_size: 24, layers: 1, width: 24, head_width: 12, patch_size: 12 },
  text_cfg: { context_length: 32, vocab_size: 600, width: 16, heads: 2, layers: 1 },
};

/** SLAKE's training and test questions, and VQA-RAD's test questions. */
export async function vqaWorld(): Promise<VqaWorld> {
  const world = await runNode(dataSynthetic, {
    params: { pairs: 40, targets: 1, cxr: 1, chexpert: 1, slake: 60, vqaRad: 30, imageSize: 24 },
  });
  const { folder, outputs: synthetic } = world;
  const one = async (type: NodeType, params: JsonObject, inputs: Record<string, string>): Promise<string> => {
    const { outputs } = await runNode(type, { params, inputs, folder, backend: "wasm" });
    return Object.values(outputs)[0]!;
  };
  const roco = await one(dataRocov2, { split: "train" }, { root: synthetic["rocov2"]! });
  const model = await one(modelClip, { arch, vocab: "learned" }, { captions: roco });
  const slake = (split: string) => one(dataSlake, { split }, { root: synthetic["slake"]! });
  const questions = {
    train: await slake("train"),
    test: await slake("test"),
    rad: await one(dataVqaRad, { split: "test" }, { root: synthetic["vqaRad"]! }),
  };
  const embed = (path: string) => one(clipEmbedQuestions, {}, { model, questions: path });
  const tokens = {
    train: await embed(questions.train),
    test: await embed(questions.test),
    rad: await embed(questions.rad),
  };
  return { folder, model, questions, tokens };
}
