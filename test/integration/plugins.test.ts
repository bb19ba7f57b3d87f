import { readFileSync } from "node:fs";
import { mkdir, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import { createWorkspace, executedSteps } from "../rig/cli.ts";
import type { Workspace } from "../rig/cli.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(() => workspace.remove());

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(workspace.folder, name)), { recursive: true });
    await workspace.write(name, text);
  }
}

/** Runs a pipeline, which has to succeed; the steps that executed. */
async function run(pipeline: string, ...args: readonly string[]): Promise<readonly string[]> {
  const { events, result } = await workspace.events(["run", pipeline, ...args]);
  expect(result).toMatchObject({ exitCode: 0, stderr: "" });
  return executedSteps(events);
}

/** The only output of a step, as text. */
async function outputOf(...step: readonly string[]): Promise<string> {
  const { stdout } = await workspace.run(["show", ...step]);
  return readFileSync(/\/\S+\/objects\/\S+/.exec(stdout)?.[0] ?? "", "utf8");
}

/** The smallest node type there can be. */
const spectrum = `
import { readFile, writeFile } from "node:fs/promises";
import { defineNode, port, z } from "ranflow/sdk";
import { lettersIn } from "./letters.ts";

export const spectrum = defineNode({
  type: "lab.spectrum",
  version: 1,
  summary: "Counts the letters of a text",
  inputs: { text: port("text") },
  outputs: { spectrum: port("lab.spectrum", { kind: "file" }) },
  params: z.object({ letters: z.string().default("aeiou").meta({ description: "letters to count" }) }),
  async run({ inputs, outputs, params }) {
    const text: string = await readFile(inputs.text.path, "utf8");
    await writeFile(outputs.spectrum.path, JSON.stringify(lettersIn(text, params.letters)));
  },
});
`;

const letters = `
export function lettersIn(text: string, letters: string): Readonly<Record<string, number>> {
  return Object.fromEntries([...letters].map((letter) => [letter, text.split(letter).length - 1]));
}
`;

const pipeline = `
name: lab
plugins: [./spectrum.ts]
nodes:
  text: { type: run.write, with: { text: onomatopoeia } }
  spectrum: { type: lab.spectrum, in: { text: text }, with: { letters: ao } }
  first: { type: run.first-letter, in: { text: text } }
`;

const lab = { "lab/p.yaml": pipeline, "lab/spectrum.ts": spectrum, "lab/letters.ts": letters };

/** A node type without inputs that writes what an expression gives. */
const writing = (expression: string, head = ""): string => `
import { writeFile } from "node:fs/promises";
import { defineNode, port, z } from "ranflow/sdk";
${head}
export default defineNode({
  type: "lab.value",
  version: 1,
  summary: "Writes a value",
  inputs: { after: port("any", { optional: true }) },
  outputs: { value: port("text") },
  params: z.object({}),
  async run({ outputs }) {
    await writeFile(outputs.value.path, String(${expression}));
  },
});
`;

const valuePipeline = (plugin: string): string =>
  `name: value\nplugins: [${plugin}]\nnodes: { value: { type: lab.value } }\n`;

describe("a node type of one's own", () => {
  it("is checked, planned, run, shown and explained as any other", async () => {
    await write(lab);
    expect((await workspace.run(["check", "lab/p.yaml"])).stdout).toBe(
      "lab/p.yaml: no problems. 3 nodes, 3 steps.",
    );
    expect(await run("lab/p.yaml")).toHaveLength(3);
    expect(await outputOf("spectrum")).toBe('{"a":2,"o":4}');
    expect(await run("lab/p.yaml")).toEqual([]);
    expect((await workspace.run(["explain", "spectrum"])).stdout).toMatch(/^spectrum: hit/);
    await write({ "lab/p.yaml": pipeline.replace("letters: ao", "leters: ao") });
    const { exitCode, stderr } = await workspace.run(["check", "lab/p.yaml"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("did you mean `letters`?");
  });

  it("runs again when its source or a file that it imports changes, and nothing else does", async () => {
    await write(lab);
    await run("lab/p.yaml");
    await write({ "lab/letters.ts": letters.replace("length - 1", "length") });
    const { stdout } = await workspace.run(["explain", "spectrum"]);
    expect(stdout).toMatch(/source\.files\.letters\.ts sha256:\w+\.\. -> sha256:\w+\.\./);
    expect(await run("lab/p.yaml")).toEqual(["spectrum"]);
    expect(await outputOf("spectrum")).toBe('{"a":3,"o":5}');
    // Back to what it was: that result is still there.
    await write(lab);
    expect(await run("lab/p.yaml")).toEqual([]);
    expect(await outputOf("spectrum")).toBe('{"a":2,"o":4}');
    await write({ "lab/spectrum.ts": `${spectrum}// another thought\n` });
    const plan = await workspace.run(["plan", "lab/p.yaml"]);
    expect(plan.stdout).toContain("3 steps, 1 to execute");
    expect(plan.stdout).toContain("source.files.spectrum.ts");
  });

  it("does not run again when its folder moves, a comment is written or a type changes", async () => {
    const typed = letters.replace("export", 'import type { Word } from "./types.ts";\nexport');
    await write({ ...lab, "lab/letters.ts": typed, "lab/types.ts": "export type Word = string;\n" });
    await run("lab/p.yaml");
    await rename(join(workspace.folder, "lab"), join(workspace.folder, "laboratory"));
    await write({
      "laboratory/p.yaml": `# a comment\n${pipeline}`,
      "laboratory/types.ts": "export type Word = number;\n",
      "laboratory/unrelated.ts": "export {};\n",
    });
    expect(await run("laboratory/p.yaml")).toEqual([]);
    // The same through a link.
    await symlink(join(workspace.folder, "laboratory"), join(workspace.folder, "linked"));
    expect(await run("linked/p.yaml")).toEqual([]);
  });

  it("is known to `nodes` and `schema` with --pipeline", async () => {
    await write(lab);
    const described = await workspace.run(["nodes", "lab.spectrum", "--pipeline", "lab/p.yaml"]);
    expect(described.stdout).toContain("Counts the letters of a text.");
    expect(described.stdout).toContain('| `letters` | text |  | `"aeiou"` | letters to count. |');
    expect(described.stdout).toContain("of the plugin ");
    expect((await workspace.run(["nodes", "-p", "lab/p.yaml"])).stdout).toMatch(
      /lab\.spectrum.*\n.*run\.files/,
    );
    const schema = JSON.parse((await workspace.run(["schema", "--pipeline", "lab/p.yaml"])).stdout);
    expect(schema.definitions["lab.spectrum"].properties.in.properties).toHaveProperty("text");
    const unknown = await workspace.run(["nodes", "lab.spectrum"]);
    expect(unknown.exitCode).toBe(2);
    expect(unknown.stderr).toContain("--pipeline FILE");
    await write({ "lab/letters.ts": "export const lettersIn = nowhere;\n" });
    const broken = await workspace.run(["schema", "--pipeline", "lab/p.yaml"]);
    expect(broken.exitCode).toBe(2);
    expect(broken.stderr).toContain("lab/letters.ts:1:26 it comes from here");
  });
});

describe("plugins of several files", () => {
  const fragment = `
plugins: [../lab/spectrum.ts]
nodes:
  text: { type: run.write, with: { text: onomatopoeia } }
  spectrum: { type: lab.spectrum, in: { text: text }, with: { letters: ao } }
`;

  it("come with fragments, each once, by paths from the file that names them", async () => {
    await write({
      ...lab,
      "fragments/lab.yaml": fragment,
      "p.yaml": `name: p\nimports: [fragments/lab.yaml]\nplugins: [lab/spectrum.ts]\nnodes: { more: { type: lab.spectrum, in: { text: text } } }\n`,
    });
    expect(await run("p.yaml")).toEqual(expect.arrayContaining(["text", "spectrum", "more"]));
    // It is the same work wherever the plugin is named.
    expect(await run("lab/p.yaml")).toEqual(["first"]);
  });

  it("stay within a pipeline that is imported under a name", async () => {
    const importing = (type: string): string =>
      `name: p\nimports: { lab: lab/p.yaml }\nnodes: { more: { type: ${type}, in: { text: lab/text } } }\n`;
    await write({ ...lab, "p.yaml": importing("run.first-letter") });
    expect(await run("p.yaml")).toEqual(expect.arrayContaining(["lab/text", "lab/spectrum"]));
    expect(await run("lab/p.yaml")).toEqual([]);
    await write({ "p.yaml": importing("lab.spectrum") });
    const { exitCode, stderr } = await workspace.run(["check", "p.yaml"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('unknown-node-type there is no node type "lab.spectrum"');
  });
});

describe("what a plugin is made of", () => {
  const wave = (version: string, height: number): Readonly<Record<string, string>> => ({
    "node_modules/wave/package.json": JSON.stringify({
      name: "wave",
      version,
      type: "module",
      main: "index.js",
    }),
    "node_modules/wave/index.js": `import { more } from "./more.js";\nexport const height = ${height} + more;\n`,
    "node_modules/wave/more.js": "export const more = 0;\n",
  });

  it("counts packages by name and version", async () => {
    const plugin = writing("height", 'import { height } from "wave";');
    await write({ ...wave("1.0.0", 1), "lab/value.ts": plugin, "p.yaml": valuePipeline("lab/value.ts") });
    expect(await run("p.yaml")).toEqual(["value"]);
    await write(wave("1.0.0", 2));
    expect(await run("p.yaml")).toEqual([]);
    await write(wave("1.1.0", 3));
    expect((await workspace.run(["explain", "value"])).stdout).toContain(
      'source.packages.wave "1.0.0" -> "1.1.0"',
    );
    expect(await run("p.yaml")).toEqual(["value"]);
    const { stdout } = await workspace.run(["show", "value"]);
    expect(stdout).toMatch(/^ {2}source {4}value\.ts sha256:\w{8}\.\., wave@1\.1\.0$/m);
    expect(await outputOf("value")).toBe("3");
    // A helper elsewhere finds a package of its own: that version counts, too.
    const elsewhere = (version: string): Readonly<Record<string, string>> =>
      Object.fromEntries(
        Object.entries(wave(version, 10)).map(([name, text]) => [`elsewhere/${name}`, text]),
      );
    await write({
      ...elsewhere("3.0.0"),
      "elsewhere/height.ts": 'export { height } from "wave";\n',
      "lab/value.ts": writing(
        "[height, h]",
        'import { height } from "wave";\nimport { height as h } from "../elsewhere/height.ts";',
      ),
    });
    await run("p.yaml");
    expect(await outputOf("value")).toBe("3,10");
    await write(elsewhere("3.1.0"));
    expect((await workspace.run(["explain", "value"])).stdout).toContain(
      'source.packages.wave "1.1.0 and 3.0.0" -> "1.1.0 and 3.1.0"',
    );
  });

  it("may be JavaScript, with data, CommonJS, a linked file, and zod from nowhere", async () => {
    const head = `
import { z as ownZ } from "zod";
import data from "./data.json" with { type: "json" };
import { createHash } from "node:crypto";
import { linked } from "./linked.js";
import old from "./old.cjs";
`;
    await write({
      "lab/value.js": writing("[ownZ.int().parse(data.one), old.two, linked, createHash.name]", head),
      "lab/data.json": '{ "one": 1 }',
      "lab/old.cjs": "exports.two = require('node:path').posix.sep;\n",
      "elsewhere/linked.js": 'import { four } from "./four.js";\nexport const linked = four;\n',
      "elsewhere/four.js": "export const four = 4;\n",
      // A package.json that calls every `.js` file CommonJS does not make it so.
      "lab/package.json": '{ "type": "commonjs" }',
      "p.yaml": valuePipeline("lab/value.js"),
    });
    await symlink("../elsewhere/linked.js", join(workspace.folder, "lab/linked.js"));
    await run("p.yaml");
    expect(await outputOf("value")).toBe("1,/,4,createHash");
    for (const file of ["lab/data.json", "lab/old.cjs", "elsewhere/four.js"]) {
      await write({ [file]: `${readFileSync(join(workspace.folder, file), "utf8")}\n` });
      expect(await run("p.yaml"), file).toEqual(["value"]);
    }
  });

  it("includes what is imported while it runs, where the name is written out", async () => {
    const plugin = writing('(await import("./late.ts")).late');
    await write({
      "value.ts": plugin,
      "late.ts": "export const late = 1;\n",
      "p.yaml": valuePipeline("value.ts"),
    });
    await run("p.yaml");
    await write({ "late.ts": "export const late = 2;\n" });
    expect(await run("p.yaml")).toEqual(["value"]);
    expect(await outputOf("value")).toBe("2");
    await write({ "value.ts": plugin.replace('"./late.ts"', '["./", "late.ts"].join("")') });
    const { exitCode, stdout } = await workspace.run(["run", "p.yaml"]);
    expect(exitCode).toBe(1);
    expect(stdout).toContain("imports `./late.ts` in a way that cannot be seen in its source");
  });
});

describe("a plugin that is edited during a run", () => {
  /** A gated step, then one of the plugin, which the edit comes in between. */
  const gated = (first: string): string => `
name: gated
plugins: [./value.ts, ./gate.ts]
nodes:
  gate: ${first}
  value: { type: lab.value, in: { after: gate } }
`;
  const gate = `
import { existsSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineNode, port, z } from "ranflow/sdk";
import "./value.ts";
const folder = process.env.RUN_TEST_FOLDER ?? "";
export const gate = defineNode({
  type: "lab.gate",
  version: 1,
  summary: "Waits",
  inputs: {},
  outputs: { text: port("text") },
  params: z.object({}),
  async run({ outputs }) {
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!existsSync(join(folder, "g.open"))) return;
        watcher.close();
        resolve();
      };
      const watcher = watch(folder, look);
      look();
      writeFileSync(join(folder, "g.reached"), "");
    });
    writeFileSync(outputs.text.path, "open");
  },
});
`;

  /** Runs the pipeline and writes `edit` while its first step waits. */
  async function editDuring(options: {
    readonly first: string;
    readonly value?: string;
    readonly edit: Readonly<Record<string, string>>;
  }): Promise<{ readonly exitCode: number | undefined; readonly failed: RunEvent | undefined }> {
    const { edit, first, value = writing("1") } = options;
    await write({ "value.ts": value, "gate.ts": gate, "p.yaml": gated(first) });
    const process = workspace.start(["run", "p.yaml", "--ui", "json", "--slots", "cpu=1"]);
    await workspace.reached("g");
    await write(edit);
    await workspace.open("g");
    const { exitCode, stdout } = await process.result;
    const events = stdout.split("\n").map((line) => JSON.parse(line) as RunEvent);
    return { exitCode, failed: events.find(({ type }) => type === "step-failed") };
  }

  it("fails where the edit would come into it, and says to run again", async () => {
    const { exitCode, failed } = await editDuring({
      first: "{ type: run.gated, with: { name: g } }",
      edit: { "value.ts": writing("2") },
    });
    expect(exitCode).toBe(1);
    expect(failed).toMatchObject({
      step: "value",
      error: {
        kind: "node",
        message: expect.stringContaining("value.ts changed since the pipeline was opened"),
        hint: expect.stringContaining("run again"),
        at: expect.stringContaining("p.yaml:6"),
      },
    });
    expect(await run("p.yaml")).toEqual(["value"]);
    expect(await outputOf("value")).toBe("2");
  });

  it("fails where another version of a package would come into it", async () => {
    const wave = (version: string): Readonly<Record<string, string>> => ({
      "node_modules/wave/package.json": JSON.stringify({ name: "wave", version, main: "index.cjs" }),
    });
    await write({ ...wave("1.0.0"), "node_modules/wave/index.cjs": "exports.height = 1;\n" });
    const { exitCode, failed } = await editDuring({
      first: "{ type: run.gated, with: { name: g } }",
      value: writing("wave.height", 'import wave from "wave";'),
      edit: wave("1.0.1"),
    });
    expect(exitCode).toBe(1);
    expect(failed).toMatchObject({
      step: "value",
      error: { message: "the package wave, now 1.0.1, changed since the pipeline was opened" },
    });
    expect(await run("p.yaml")).toEqual(["value"]);
  });

  it("goes on with the code that was planned where a worker has it", async () => {
    const { exitCode } = await editDuring({
      first: "{ type: lab.gate }",
      edit: { "value.ts": writing("2") },
    });
    expect(exitCode).toBe(0);
    // Value 1 is kept under the source that made it: to run again makes the other, and going back finds it.
    expect(await run("p.yaml")).toContain("value");
    expect(await outputOf("value")).toBe("2");
    await write({ "value.ts": writing("1") });
    expect(await run("p.yaml")).toEqual([]);
    expect(await outputOf("value")).toBe("1");
  });
});

it("is not taken for its newer self by a process that has loaded it", async () => {
  const path = join(workspace.folder, "value.ts");
  const script = `
    import { writeFileSync } from "node:fs";
    import { loadPlugin } from ${JSON.stringify(new URL("../../engine/plugins/load.ts", import.meta.url).href)};
    const path = ${JSON.stringify(path)};
    const load = () => loadPlugin(path).then(({ types }) => types.map(({ type }) => type).join(), ({ message }) => message);
    console.log(await load());
    writeFileSync(path, ${JSON.stringify(writing("2"))});
    console.log(await load());
    writeFileSync(path, ${JSON.stringify(writing("1"))});
    console.log(await load());
  `;
  await write({ "value.ts": writing("1") });
  const { stdout } = await execa(process.execPath, ["--input-type=module", "--eval", script]);
  expect(stdout.split("\n")).toEqual([
    "lab.value",
    `the plugin's file ${path} changed since the pipeline was opened`,
    "lab.value",
  ]);
});

describe("what node types of one's own may use", () => {
  const count =
    'import { appendFileSync } from "node:fs";\nimport { join } from "node:path";\n' +
    'const count = (line: string): void => appendFileSync(join(process.env.RUN_TEST_FOLDER ?? "", "executions.log"), `${line}\\n`);\n';

  it("retries", async () => {
    const plugin = `
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineNode, NodeError, port, z } from "ranflow/sdk";
export default defineNode({
  type: "lab.flaky",
  version: 1,
  summary: "Fails the first time",
  inputs: {},
  outputs: { text: port("text") },
  params: z.object({}),
  async run({ outputs }) {
    const tried = join(process.env.RUN_TEST_FOLDER ?? "", "tried");
    const before = existsSync(tried);
    writeFileSync(tried, "");
    if (!before) throw new NodeError("the instrument is warming up", { hint: "wait" });
    writeFileSync(outputs.text.path, "measured");
  },
});
`;
    const text = (retries: number): string =>
      `name: p\nplugins: [flaky.ts]\nnodes: { flaky: { type: lab.flaky, retries: ${retries} } }\n`;
    await write({ "flaky.ts": plugin, "p.yaml": text(0) });
    const failed = await workspace.run(["run", "p.yaml"]);
    expect(failed.exitCode).toBe(1);
    expect(failed.stdout).toContain("the instrument is warming up");
    await rm(join(workspace.folder, "tried"));
    await write({ "p.yaml": text(1) });
    expect(await run("p.yaml")).toEqual(["flaky"]);
  });

  it("the memo and shards: items are made once, and anew by other code", async () => {
    const plugin = `${count}
import { writeFile } from "node:fs/promises";
import { defineNode, port, randomStream, reportItems, workThrough, z } from "ranflow/sdk";
export default defineNode({
  type: "lab.items",
  version: 1,
  summary: "Makes items",
  seeded: true,
  itemwise: true,
  inputs: {},
  outputs: { text: port("text") },
  params: z.object({ count: z.int() }),
  async run(context) {
    const { outputs, params, seed, shard } = context;
    const results = await workThrough<number, number>(context, {
      units: Array.from({ length: params.count }, (_, item) => item),
      keyOf: (item) => [item, seed],
      atOnce: 1,
      async make([item = 0]) {
        count(\`item \${item}\`);
        return [randomStream(seed, "items", item).int(100)];
      },
    });
    reportItems(context, results, { done: "made", one: "item", many: "items" });
    if (!shard) await writeFile(outputs.text.path, results.values.join());
  },
});
`;
    const text = (items: number, shards: number): string =>
      `name: p\nplugins: [items.ts]\nseed: 4\nnodes: { items: { type: lab.items, with: { count: ${items} }, shards: ${shards} } }\n`;
    const made = (): number[] =>
      workspace
        .executions()
        .map((line) => Number(line.replace("item ", "")))
        .toSorted((a, b) => a - b);
    await write({ "items.ts": plugin, "p.yaml": text(4, 2) });
    expect((await run("p.yaml")).toSorted()).toEqual(["items", "items#1/2", "items#2/2"]);
    const values = await outputOf("items");
    expect(values).toMatch(/^\d+,\d+,\d+,\d+$/);
    await write({ "p.yaml": text(6, 1) });
    await run("p.yaml");
    expect(made()).toEqual([0, 1, 2, 3, 4, 5]);
    expect((await outputOf("items")).startsWith(values)).toBe(true);
    // What other code made is not taken for its own.
    await write({ "items.ts": plugin.replace("int(100)", "int(7)") });
    await run("p.yaml");
    expect(made()).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
  });

  it("external files by content", async () => {
    const plugin = `
import { readdir, readFile, writeFile } from "node:fs/promises";
import { defineNode, NodeError, port, z } from "ranflow/sdk";
export default defineNode({
  type: "lab.recordings",
  version: 1,
  summary: "Reads recordings",
  inputs: {},
  outputs: { text: port("text") },
  params: z.object({ root: z.string().meta({ path: true, description: "the folder" }) }),
  async scan({ params }) {
    const names = await readdir(params.root).catch((cause: unknown) => {
      throw new NodeError(\`there is no folder \${params.root}\`, { hint: "see \`root\`", cause });
    });
    return { dataset: "recordings", root: params.root, files: names.filter((name) => name.endsWith(".wav")) };
  },
  async run({ external, outputs }) {
    const texts = await Promise.all([...external].map(([name, { path }]) => readFile(path, "utf8").then((text) => name + text)));
    await writeFile(outputs.text.path, texts.join());
  },
});
`;
    const text = (root: string): string =>
      `name: p\nplugins: [recordings.ts]\nnodes: { read: { type: lab.recordings, with: { root: ${root} } } }\n`;
    await write({ "recordings.ts": plugin, "data/a.wav": "1", "data/b.wav": "2", "p.yaml": text("data") });
    expect((await workspace.run(["plan", "p.yaml", "--scan"])).stdout).toContain("1 step, 1 to execute");
    expect(await run("p.yaml")).toEqual(["read"]);
    expect(await outputOf("read")).toBe("a.wav1,b.wav2");
    await rename(join(workspace.folder, "data"), join(workspace.folder, "moved"));
    await write({ "moved/notes.txt": "unread", "p.yaml": text("moved") });
    expect(await run("p.yaml")).toEqual([]);
    await write({ "moved/b.wav": "3" });
    expect(await run("p.yaml")).toEqual(["read"]);
    await write({ "p.yaml": text("nowhere") });
    const { exitCode, stdout } = await workspace.run(["run", "p.yaml"]);
    expect(exitCode).toBe(1);
    expect(stdout).toContain(`there is no folder ${join(workspace.folder, "nowhere")}`);
  });
});

describe("docs/plugins.md", () => {
  const repository = join(import.meta.dirname, "../..");
  const text = readFileSync(join(repository, "docs/plugins.md"), "utf8");
  /** Its files, by the names in their first lines. */
  const files = Object.fromEntries(
    [...text.matchAll(/^```(?:ts|yaml)\n((?:\/\/|#) (\S+)\n.*?)^```/gms)].map(
      ([, content = "", name = ""]) => [name, content],
    ),
  );
  const [, tsconfig = ""] = /^```json\n(.*?)^```/ms.exec(text) ?? [];

  beforeEach(async () => {
    await workspace.remove();
    workspace = await createWorkspace({ nodes: join(repository, "nodes/index.ts") });
    await write(files);
  });

  it("has examples that do what it says", async () => {
    expect(Object.keys(files)).toEqual([
      "caption-words.ts",
      "words.ts",
      "caption-words.yaml",
      "drawn.ts",
      "drawn.yaml",
    ]);
    expect(await run("caption-words.yaml")).toEqual(expect.arrayContaining(["words[shortest=6]", "table"]));
    await write({ "words.ts": (files["words.ts"] ?? "").replace(".toLowerCase()", "") });
    const { stdout } = await workspace.run(["explain", "words[shortest=6]"]);
    expect(stdout).toMatch(/source\.files\.words\.ts sha256:\w+\.\. -> sha256:/);
    expect(await run("caption-words.yaml")).toContain("words[shortest=6]");
    expect(await run("drawn.yaml")).toEqual(expect.arrayContaining(["words#1/2", "words#2/2", "words"]));
    expect((await outputOf("drawn.yaml", "words")).split("\n")).toHaveLength(20);
  });

  it("has examples whose types are right, and wrong where they are wrong", async () => {
    await mkdir(join(workspace.folder, "node_modules/@types"), { recursive: true });
    await symlink(repository, join(workspace.folder, "node_modules/ranflow"));
    await symlink(
      join(repository, "node_modules/@types/node"),
      join(workspace.folder, "node_modules/@types/node"),
    );
    await write({ "tsconfig.json": tsconfig });
    const check = (): Promise<{ stdout: string }> =>
      execa(join(repository, "node_modules/.bin/tsc"), ["--pretty", "false"], {
        cwd: workspace.folder,
        reject: false,
      });
    expect((await check()).stdout).toBe("");
    await write({ "words.ts": (files["words.ts"] ?? "").replace("string[]", "number[]") });
    const plugin = (files["caption-words.ts"] ?? "").replace("params.shortest", "params.shortset");
    await write({ "caption-words.ts": plugin.replace("inputs.pairs", "inputs.pears") });
    const { stdout } = await check();
    expect(stdout).toContain("error TS2551: Property 'pears' does not exist");
    expect(stdout).toContain("Property 'shortset' does not exist on type '{ shortest: number; }'");
    expect(stdout).toContain("words.ts(3,3): error TS2322");
  });
});
