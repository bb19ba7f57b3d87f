/**
 * Node types that tests script from outside: they count their executions in a file, wait for files, fail, crash and
 * hang as told. Worker processes load this module (RANFLOW_NODES); RUN_TEST_FOLDER is where tests and nodes meet.
 */
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, watch, writeFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { libraryOf } from "../../engine/model/node-library.ts";
import { defineNode, NodeError, port } from "../../engine/sdk.ts";
import { reportItems, workThrough } from "../../nodes/items.ts";
import type { NodeLibrary, NodeType } from "../../engine/sdk.ts";

const folder = (): string => process.env["RUN_TEST_FOLDER"] ?? "";

// One line per worker process; RANFLOW_THREADS is theirs alone.
if (process.env["RANFLOW_THREADS"]) appendFileSync(join(folder(), "processes.log"), `${process.pid}\n`);

/** One line per execution, in the order in which they began. */
function count(line: string): void {
  appendFileSync(join(folder(), "executions.log"), `${line}\n`);
}

/** Says that a node has come to a point, then waits until the test opens the gate (or the signal aborts). */
async function gate(name: string, signal?: AbortSignal): Promise<void> {
  writeFileSync(join(folder(), `${name}.reached`), "");
  await appears(join(folder(), `${name}.open`), signal);
}

function appears(path: string, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (!existsSync(path)) return;
      watcher.close();
      resolve();
    };
    const watcher = watch(folder(), look);
    signal?.addEventListener("abort", () => {
      watcher.close();
      reject(signal.reason as Error);
    });
    look();
    if (signal?.aborted) {
      watcher.close();
      reject(signal.reason as Error);
    }
  });
}

const write = defineNode({
  type: "run.write",
  version: 1,
  summary: "Writes a text",
  inputs: {},
  outputs: { text: port("text") },
  params: z.object({
    text: z.string(),
    ignored: z.string().default("").meta({ ephemeral: true }),
    say: z.string().default("").meta({ ephemeral: true }),
  }),
  async run({ params, outputs, log }) {
    count(`write ${params.text}`);
    if (params.say !== "") log(params.say);
    await writeFile(outputs.text.path, params.text);
  },
});

const upper = defineNode({
  type: "run.first-letter",
  version: 1,
  summary: "Keeps the first letter of a text, so that different texts can become the same",
  inputs: { text: port("text") },
  outputs: { text: port("text") },
  params: z.object({}),
  async run({ inputs, outputs }) {
    const text = await readFile(inputs.text.path, "utf8");
    count(`first-letter ${text}`);
    await writeFile(outputs.text.path, text.slice(0, 1));
  },
});

const join_ = defineNode({
  type: "run.join",
  version: 1,
  summary: "Joins texts",
  inputs: { texts: port("text", { many: true }) },
  outputs: { text: port("text"), metrics: port("metrics") },
  params: z.object({ between: z.string().default("+") }),
  async run({ inputs, outputs, params }) {
    const texts = await Promise.all(inputs.texts.map(({ artifact }) => readFile(artifact.path, "utf8")));
    const text = texts.join(params.between);
    count(`join ${text}`);
    await writeFile(outputs.text.path, text);
    await writeFile(outputs.metrics.path, JSON.stringify({ texts: texts.length, length: text.length }));
  },
});

const report = defineNode({
  type: "run.report",
  version: 1,
  summary: "Writes a report",
  inputs: { text: port("text") },
  outputs: { report: port("report") },
  params: z.object({}),
  async run({ inputs, outputs }) {
    const text = await readFile(inputs.text.path, "utf8");
    count(`report ${text}`);
    await mkdir(join(outputs.report.path, "figures"));
    await writeFile(join(outputs.report.path, "table.md"), `| text |\n| --- |\n| ${text} |\n`);
    await writeFile(join(outputs.report.path, "figures", "figure.svg"), "<svg/>");
  },
});

const gated = defineNode({
  type: "run.gated",
  version: 1,
  summary: "Waits until the test opens its gate",
  inputs: { after: port("text", { optional: true }) },
  outputs: { text: port("text") },
  params: z.object({ name: z.string(), deaf: z.boolean().default(false) }),
  async run({ params, outputs, signal, log, progress }) {
    count(`gated ${params.name}`);
    log(`waiting at ${params.name}`);
    progress(1, 2, { loss: 0.5 }, "step");
    await gate(params.name, params.deaf ? undefined : signal);
    await writeFile(outputs.text.path, params.name);
  },
});

/** How often a named node was executed before. */
function executionsOf(line: string): number {
  const path = join(folder(), "executions.log");
  if (!existsSync(path)) return 0;
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((other) => other === line).length;
}

const flaky = defineNode({
  type: "run.flaky",
  version: 1,
  summary: "Fails so many times, then succeeds",
  inputs: { after: port("text", { optional: true }) },
  outputs: { text: port("text") },
  params: z.object({
    name: z.string(),
    failures: z.number(),
    how: z
      .enum(["node", "transient", "throw", "exit", "kill", "orphan", "no-output", "secret"])
      .default("node"),
  }),
  async run({ params, outputs, secret, log }) {
    const line = `flaky ${params.name}`;
    const before = executionsOf(line);
    count(line);
    if (before < params.failures) {
      switch (params.how) {
        case "node":
        case "transient":
          throw new NodeError(`${params.name} is not ready`, {
            hint: "try later",
            transient: params.how === "transient",
          });
        case "throw":
          throw new TypeError("undefined is not a function");
        case "exit":
          console.error("last words");
          return process.exit(3);
        case "kill":
          return void process.kill(process.pid, "SIGSEGV");
        case "orphan": {
          // A program that outlives its step and keeps the step's output open.
          const orphan = spawn("sleep", ["300"], { stdio: ["ignore", "inherit", "inherit"] });
          writeFileSync(join(folder(), "orphan.pid"), String(orphan.pid));
          return void process.kill(process.pid, "SIGKILL");
        }
        case "no-output":
          return;
        case "secret": {
          const value = secret("RUN_TEST_SECRET") ?? "";
          log(`the key is ${value}`);
          console.log(`printed ${value}`);
          throw new NodeError(`the server refused the key ${value}`);
        }
      }
    }
    await writeFile(outputs.text.path, params.name);
  },
});

const train = defineNode({
  type: "run.train",
  version: 1,
  summary: "Counts, with checkpoints",
  inputs: {},
  outputs: { text: port("text") },
  params: z.object({ name: z.string(), steps: z.number(), gateAt: z.number().default(-1) }),
  async run({ params, outputs, checkpoint, signal, progress }) {
    const saved = checkpoint("cpu/1 thread");
    const from = await saved.restore();
    let state = from ? (JSON.parse(await readFile(join(from, "state.json"), "utf8")) as number[]) : [];
    count(`train ${params.name} from ${state.length}`);
    while (state.length < params.steps) {
      if (state.length === params.gateAt)
        await gate(`${params.name}-${params.gateAt}`, signal).catch(() => {});
      if (saved.due()) {
        const now = JSON.stringify(state);
        await saved.save((into) => writeFile(join(into, "state.json"), now));
      }
      signal.throwIfAborted();
      state = [...state, (state.at(-1) ?? 1) * 2];
      progress(state.length, params.steps, { loss: 1 / state.length }, "step");
    }
    await writeFile(outputs.text.path, state.join(" "));
  },
});

const files = defineNode({
  type: "run.files",
  version: 1,
  summary: "Lists the files of a folder with their digests",
  inputs: {},
  outputs: { text: port("text") },
  params: z.object({
    root: z.string().meta({ path: true }),
    names: z.array(z.string()),
  }),
  scan: async ({ params }) => ({ dataset: "letters", root: params.root, files: params.names }),
  async run({ external, outputs, blobs, memo }) {
    const listed = [...external.values()];
    const located = await blobs.locate(listed);
    const known = await memo.get(listed.map(({ digest }) => digest));
    count(
      `files ${[...external.keys()].join(",")} memo ${known.filter((value) => value !== undefined).length}`,
    );
    await memo.put(listed.map(({ digest, size }) => ({ key: digest, value: size })));
    const texts = await Promise.all(located.map(({ path }) => readFile(path, "utf8")));
    await writeFile(outputs.text.path, texts.join(""));
  },
});

/** Makes its items one by one and keeps each; told by ephemeral parameters to wait or to fail at one of them. */
const items = defineNode({
  type: "run.items",
  version: 1,
  summary: "Makes items",
  seeded: true,
  itemwise: true,
  inputs: { text: port("text", { optional: true }) },
  outputs: { text: port("text") },
  params: z.object({
    count: z.int().min(0),
    gateAt: z.int().optional().meta({ ephemeral: true }),
    failAt: z.int().optional().meta({ ephemeral: true }),
  }),
  async run(context) {
    const { params, inputs, outputs, seed, signal, shard } = context;
    const text = inputs.text ? await readFile(inputs.text.path, "utf8") : "";
    const results = await workThrough<number, string>(context, {
      units: Array.from({ length: params.count }, (_, item) => item),
      keyOf: (item) => [item, text, seed],
      atOnce: 1,
      async make([item = 0]) {
        if (item === params.failAt) throw new NodeError(`item ${item} cannot be made`);
        if (item === params.gateAt) await gate("items", signal);
        count(`item ${item}`);
        return [`${text}${item} of seed ${seed}`];
      },
    });
    reportItems(context, results, { done: "made", one: "item", many: "items" });
    if (!shard) await writeFile(outputs.text.path, results.values.join("\n"));
  },
});

const hungry = defineNode({
  type: "run.hungry",
  version: 1,
  summary: "Takes memory, a little at a time",
  inputs: {},
  outputs: { text: port("text") },
  params: z.object({ bytes: z.number() }),
  async run({ params, outputs, signal }) {
    const held: Buffer[] = [];
    const piece = 2 ** 23;
    while (held.length * piece < params.bytes) {
      held.push(Buffer.alloc(piece, 1));
      await delay(50, undefined, { signal });
    }
    await writeFile(outputs.text.path, String(held.length));
  },
});

const variable = defineNode({
  type: "run.variable",
  version: 1,
  summary: "Says what a variable of its environment holds",
  inputs: {},
  outputs: { text: port("text") },
  params: z.object({ name: z.string(), as: z.string() }),
  async run({ params, outputs, log }) {
    log(`${params.as} ${process.env[params.name]}`);
    await writeFile(outputs.text.path, params.name);
  },
});

const types: readonly NodeType[] = [
  write,
  upper,
  join_,
  report,
  gated,
  flaky,
  train,
  files,
  items,
  hungry,
  variable,
];

export const library: NodeLibrary = libraryOf(types);
