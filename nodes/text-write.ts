import { writeFileSync } from "node:fs";
import { z } from "zod";
import { defineNode, port } from "../engine/sdk.ts";

export const textWrite = defineNode({
  type: "text.write",
  version: 1,
  summary: "Writes a text to a file",
  details: [
    "What a program of your own reads besides data: a configuration, a list of names, a prompt. The file holds the text's UTF-8",
    "and nothing else: a YAML block (`text: |`) ends with a line feed, a plain scalar does not. Axes and inputs of the",
    "pipeline are written into the text as anywhere else.",
    "",
    "`after` names texts whose steps come first. Nothing of them is written, but they are inputs like any other: the step",
    "runs again when one of them changes.",
  ].join("\n"),
  inputs: {
    after: port("text", {
      many: true,
      optional: true,
      description: "texts that must be there before this one",
    }),
  },
  outputs: { text: port("text") },
  params: z.object({
    text: z
      .union([z.string(), z.number(), z.boolean()])
      .meta({ description: "the text; a number or boolean is written as text" }),
  }),
  async run({ params, outputs }) {
    // A text that fits into a YAML file is written sooner than another thread is woken.
    writeFileSync(outputs.text.path, String(params.text));
  },
});
