import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";

const params = z.object({
  // Not ephemeral: matrix products of another height may differ in their last bits.
  batchSize: z.int().min(1).default(32).meta({ description: "images, or questions, encoded at once" }),
});

export type EmbedQuestionsParams = z.output<typeof params>;

/** `clip.embed-questions`: what a frozen CLIP knows of images and questions, for a fusion to be trained on. */
export const clipEmbedQuestions = defineNode({
  type: "clip.embed-questions",
  version: 2,
  summary: "Tokens of questions and of the images they are about, from a frozen CLIP",
  details: [
    "Image tokens are those after the vision tower's last norm and before its projection, class token first, or the places of",
    "a ResNet's last map. Text tokens are those after the text tower's last norm, up to the end of the text. Each image and",
    "each question is encoded once, and kept in half precision (an error of 5e-4 of a value), in half the space.",
  ].join("\n"),
  inputs: { model: port("clip-model"), questions: port("questions") },
  outputs: { tokens: port("tokens") },
  params,
  growth: {
    time: ({ bytes }) => bytes("questions") * bytes("model"),
    space: ({ bytes }) => bytes("questions") * Math.sqrt(bytes("model")),
  },
  async run(context) {
    const { embedQuestions } = await import("./clip/embed-questions.ts");
    await embedQuestions(context);
  },
});
