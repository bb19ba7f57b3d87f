import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { libraryOf } from "../../engine/model/node-library.ts";
import { NodeError, defineNode, port } from "../../engine/sdk.ts";
import type { NodeLibrary, NodeType } from "../../engine/sdk.ts";
import { reportItems, workThrough } from "../../nodes/items.ts";

/** Writes a text: the simplest node type that does something. */
export const writeNode: NodeType = defineNode({
  type: "test.write",
  version: 1,
  summary: "Writes a text",
  inputs: {},
  outputs: { text: port("text", { description: "the text" }) },
  params: z.object({
    text: z.string().default("").meta({ description: "what to write" }),
    times: z.int().min(1).max(1000).default(1).meta({ description: "how often" }),
    logEvery: z
      .int()
      .min(1)
      .default(1)
      .meta({ ephemeral: true, description: "lines between two log messages" }),
  }),
  async run({ params, outputs, progress }) {
    await writeFile(outputs.text.path, params.text.repeat(params.times));
    progress(params.times, params.times);
  },
});

/** Joins any number of texts, with their coordinates. */
export const concatNode: NodeType = defineNode({
  type: "test.concat",
  version: 1,
  summary: "Joins texts, one line each",
  inputs: { texts: port("text", { many: true, description: "what to join" }) },
  outputs: { text: port("text") },
  params: z.object({
    coordinates: z.boolean().default(true).meta({ description: "begin each line with the coordinates" }),
  }),
  async run({ params, inputs, outputs }) {
    const lines = inputs.texts.map(async ({ at, artifact }) => {
      const text = await readFile(artifact.path, "utf8");
      return `${params.coordinates ? `${JSON.stringify(at)} ` : ""}${text}\n`;
    });
    await writeFile(outputs.text.path, (await Promise.all(lines)).join(""));
  },
});

/** Changes a text; reads its other input only where it needs it. */
export const editNode: NodeType = defineNode({
  type: "test.edit",
  version: 1,
  summary: "Puts one text after another",
  inputs: { text: port("text"), other: port("text"), note: port("text", { optional: true }) },
  outputs: { text: port("text") },
  params: z.object({
    share: z
      .number()
      .min(0)
      .max(100)
      .default(0)
      .meta({ unit: "%", description: "how much of the other text" }),
  }),
  reads: ({ share }) => (share === 0 ? ["text", "note"] : ["text", "other", "note"]),
  async run({ params, inputs, outputs }) {
    const other = params.share === 0 ? "" : await readFile(inputs.other.path, "utf8");
    const note = inputs.note ? await readFile(inputs.note.path, "utf8") : "";
    const text = await readFile(inputs.text.path, "utf8");
    await writeFile(
      outputs.text.path,
      text + other.slice(0, Math.round((other.length * params.share) / 100)) + note,
    );
  },
});

/** Writes its seed. */
export const seededNode: NodeType = defineNode({
  type: "test.seeded",
  version: 1,
  summary: "Writes its seed",
  seeded: true,
  inputs: { text: port("text", { optional: true }) },
  outputs: { text: port("text"), metrics: port("metrics") },
  params: z.object({
    epsilon: z
      .number()
      .min(0)
      .max(1)
      .default(8 / 255)
      .meta({ unit: "ratio", description: "size of the change" }),
    epochs: z.int().min(1).default(1).meta({ description: "passes over the data", neutral: 1 }),
    method: z.enum(["probe", "mlp", "ran"]).default("probe").meta({ description: "how" }),
    alpha: z.number().optional().meta({ description: "weight of the first term" }),
    beta: z.number().optional().meta({ description: "weight of the second term" }),
  }),
  check: ({ method, alpha }) =>
    alpha !== undefined && method !== "ran" ? "`alpha` is only for the method `ran`" : undefined,
  async run({ params, outputs, seed }) {
    await writeFile(outputs.text.path, `${seed} ${params.method}`);
    await writeFile(
      outputs.metrics.path,
      JSON.stringify({ seed, method: params.method, score: params.epochs / 10 }),
    );
  },
});

/** Reads a file of a folder that a parameter names. */
export const fileNode: NodeType = defineNode({
  type: "test.file",
  version: 1,
  summary: "Reads a file",
  inputs: {},
  outputs: { text: port("text"), table: port("table") },
  params: z.object({
    root: z.string().meta({ path: true, description: "the folder" }),
    files: z.array(z.string()).default(["data.txt"]).meta({ description: "files in it" }),
    weights: z.object({ first: z.number(), second: z.number().default(1) }).optional(),
  }),
  scan: async ({ params }) => ({ dataset: "test", root: params.root, files: params.files }),
  async run({ external, outputs }) {
    await writeFile(outputs.text.path, "");
    await writeFile(outputs.table.path, "");
    for (const [name, { path }] of external) {
      await appendFile(outputs.text.path, await readFile(path));
      await appendFile(outputs.table.path, `${JSON.stringify({ name })}\n`);
    }
  },
});

/** Fails as its parameters say. */
export const failNode: NodeType = defineNode({
  type: "test.fail",
  version: 1,
  summary: "Fails",
  inputs: { text: port("text", { optional: true }) },
  outputs: { text: port("text"), extra: port("text") },
  params: z.object({
    how: z
      .enum(["node", "throw", "exit", "transient", "no-output"])
      .default("node")
      .meta({ description: "how to fail" }),
    message: z.string().default("it failed as it was told to").meta({ description: "what to say" }),
  }),
  async run({ params, scratch }) {
    await writeFile(join(scratch, "left-behind"), "");
    switch (params.how) {
      case "node":
        throw new NodeError(params.message, { hint: "tell it something else" });
      case "transient":
        throw new NodeError(params.message, { transient: true });
      case "throw":
        throw new Error(params.message);
      case "exit":
        process.exit(3);
      case "no-output":
        return;
    }
  },
});

/** Makes a line for each of its items, and keeps them. Tells in a file which ones it made. */
export const itemsNode: NodeType = defineNode({
  type: "test.items",
  version: 1,
  summary: "Makes items",
  seeded: true,
  itemwise: true,
  inputs: { text: port("text", { optional: true }) },
  outputs: { text: port("text"), metrics: port("metrics") },
  params: z.object({
    count: z.int().min(0).default(20).meta({ description: "how many items" }),
    tally: z
      .string()
      .optional()
      .meta({ ephemeral: true, description: "file that takes a line for each item made" }),
    failAt: z.int().optional().meta({ ephemeral: true, description: "item that cannot be made" }),
    waitAt: z.int().optional().meta({ ephemeral: true, description: "item that is never done" }),
  }),
  async run(context) {
    const { params, inputs, outputs, seed, signal, shard } = context;
    const text = inputs.text ? await readFile(inputs.text.path, "utf8") : "";
    const results = await workThrough<number, string>(context, {
      units: Array.from({ length: params.count }, (_, item) => item),
      keyOf: (item) => [item, text, seed],
      atOnce: 2,
      async make(items) {
        if (items.includes(params.failAt ?? -1)) throw new NodeError(`item ${params.failAt} cannot be made`);
        if (params.tally !== undefined)
          await appendFile(params.tally, items.map((item) => `${item}\n`).join(""));
        if (items.includes(params.waitAt ?? -1)) {
          await new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason as Error));
          });
        }
        return items.map((item) => `${text}${item} of seed ${seed}`);
      },
    });
    reportItems(context, results, { done: "made", one: "item", many: "items" });
    if (shard) return;
    await writeFile(outputs.text.path, results.values.map((line) => `${line}\n`).join(""));
    await writeFile(outputs.metrics.path, JSON.stringify({ items: params.count }));
  },
});

/** Small node types to test the engine with. */
export const testLibrary: NodeLibrary = libraryOf([
  writeNode,
  concatNode,
  editNode,
  seededNode,
  fileNode,
  failNode,
  itemsNode,
]);
