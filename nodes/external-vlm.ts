import { z } from "zod";
import { defineNode, port, type NodeType } from "../engine/sdk.ts";
import { serverParams, serverProblem } from "./chat/server.ts";
import { execParams } from "./exec.ts";
import { filesProblem } from "./exec/file-names.ts";

const { files, folder, env, ambient, secrets, version, graceSeconds } = execParams.shape;

const params = z.object({
  backend: z.enum(["openai", "command", "replay"]).meta({
    description:
      "who answers: `openai`, any OpenAI-compatible server that sees images; `command`, a program of your own; `replay`, recorded answers",
  }),
  produce: z.enum(["caption", "image"]).default("caption").meta({
    description: "a caption of each image, or an image from each caption (with command and replay)",
  }),
  prompt: z.string().default("what is the content of this radiology image?").meta({
    description: "what is asked about each image",
  }),
  temperature: z.number().min(0).max(2).default(0).meta({ description: "sampling temperature" }),
  maxTokens: z.int().min(1).default(256).meta({ description: "longest answer, in tokens" }),
  imageSide: z.int().min(16).max(8192).default(1024).meta({
    unit: "px",
    description: "openai: images with a longer side are sent smaller",
  }),
  retries: z.int().min(0).max(20).default(2).meta({
    description:
      "openai: how often to ask again where an answer is empty, with the seed raised by one each time",
  }),
  onFail: z.enum(["leave-out", "fail"]).default("leave-out").meta({
    description: "where an item gets no answer: leave it out and count it, or fail",
  }),
  ...serverParams,
  command: z.array(z.string()).default([]).meta({
    description:
      "the program and its arguments, needed with `command`; {items} and {answers} stand for paths, {seed} for the step's seed",
  }),
  files,
  folder,
  env,
  ambient,
  secrets,
  version,
  graceSeconds,
  itemsPerStart: z.int().min(1).default(1000).meta({
    ephemeral: true,
    description: "command: items that one start of the program gets at most; their answers are kept together",
  }),
  replay: z.string().optional().meta({
    path: true,
    description: "file of recorded answers, JSON lines; needed with `replay`",
  }),
});

export type VlmParams = z.output<typeof params>;

/** Vision-language models outside ranflow: captioners and text-to-image models (METHOD 10.3). */
export const externalVlm: NodeType = defineNode({
  type: "external.vlm",
  version: 2,
  summary: "Asks a vision-language model outside ranflow for captions of images, or for images from captions",
  details: [
    "`pairs` holds the records that were answered, in the order of the input: with the answer as caption, or with the new image.",
    "`evaluate.clip-score` compares them with what was there before, or with an attack's targets.",
    "",
    "`command` starts a program with a file of JSON lines at {items}, `{ id, image, caption, prompt }` with image as a path; it writes",
    "JSON lines to {answers}: `{ id, text }`, or `{ id, image }` with the path of an image file, relative to the file of answers or",
    "absolute. `replay` reads such a file, with images beside it. The program runs as that of `exec` does, in a private folder with",
    "copies of `files`.",
    "",
    "An item without an answer costs that item, not the step: a server that is down, slow or out of quota, a program that ends early, an",
    "answer that is empty. It is left out, counted, and shown in the report; every run that has the result says so, and with `--force`",
    "the step asks for what is missing alone. Every other answer is kept by its image, prompt and settings. A key that is refused, a",
    "model that the server does not know, and a program that is not there end the step.",
  ].join("\n"),
  inputs: { pairs: port("pairs") },
  outputs: {
    pairs: port("pairs", { description: "the answered records" }),
    report: port("table", { description: "id, answer, by, attempts, failed" }),
    metrics: port("metrics", { description: "counts of items and tokens" }),
  },
  params,
  check: (settings) => {
    switch (settings.backend) {
      case "openai":
        return settings.produce === "image"
          ? "backend openai gives captions only: use command or replay for images"
          : serverProblem(settings);
      case "command":
        return commandProblem(settings.command) ?? filesProblem(settings.files);
      case "replay":
        return settings.replay === undefined
          ? "backend replay needs replay, a file of recorded answers"
          : undefined;
    }
  },
  seeded: ({ backend, command }) =>
    backend === "openai" || (backend === "command" && command.some((text) => text.includes("{seed}"))),
  itemwise: true,
  growth: {
    time: ({ bytes }) => bytes("pairs"),
    space: ({ bytes }) => bytes("pairs"),
    kind: ({ backend, command, model = "" }) => [backend, model, ...command].join(" ").trim(),
  },
  environment: ({ env: names }) => names,
  scans: ({ backend, files: own }) => backend === "replay" || (backend === "command" && own.length > 0),
  copiesExternal: ({ backend }) => backend === "command",
  async scan(context) {
    if (context.params.backend === "command") {
      const { scanFiles } = await import("./exec/scan-files.ts");
      return scanFiles(context);
    }
    const { scanReplay } = await import("./vlm/replay.ts");
    return scanReplay(context.params.replay);
  },
  async run(context) {
    const { askVlm } = await import("./vlm/ask.ts");
    await askVlm(context);
  },
});

function commandProblem(command: readonly string[]): string | undefined {
  if (command.length === 0) return "backend command needs command, the program and its arguments";
  const missing = ["{items}", "{answers}"].find((name) => !command.some((text) => text.includes(name)));
  return missing && `command does not mention ${missing}: the program cannot know where its ${missing} are`;
}
