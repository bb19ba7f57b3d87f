import { existsSync, readFileSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openStore } from "../../cache/store.ts";
import { partOf } from "../../engine/grid/part.ts";
import { loadGrid } from "../../engine/load/index.ts";
import { diagnosticCodes } from "../../engine/model/diagnostic.ts";
import type { Diagnostic } from "../../engine/model/diagnostic.ts";
import { formatDiagnostics } from "../../engine/report/code-frame.ts";
import { slotProblems } from "../../engine/run/slots.ts";
import { createWorkspace } from "../rig/cli.ts";
import { testLibrary } from "../rig/library.ts";

/**
 * For every code, `<code>.yaml` and what is printed for it, `<code>.txt`. Comments `# --set ...` and `# --profile ...` at
 * the head of the YAML are settings. RANFLOW_UPDATE_GOLDEN=1 writes the texts anew: read the difference before committing it.
 */
const folder = join(import.meta.dirname, "../golden/diagnostics");
const update = process.env["RANFLOW_UPDATE_GOLDEN"] === "1";

/** Two steps of one id, which the language leaves no way to bring about: the properties of expansion say so. */
const impossible = ["duplicate-step"];
/** Codes of selectors: `# --step ...` and `# --axes ...` at the head of the YAML say what is wanted. */
const selecting = ["unknown-step", "selector-syntax"];
/** Codes whose file cannot lie in the repository. */
const made = ["file-not-found", "file-unreadable", "file-too-large", "too-many-imports"];
/** Codes of plugins, which only a process of ranflow's own loads as they are loaded. */
const plugged = ["bad-plugin", "duplicate-node-type"];
/** Codes of what a pipeline is run with. */
const running = ["unknown-backend", "store-unusable", "store-too-new", "not-enough-slots"];

async function problems(
  path: string,
  cwd: string,
  sets: readonly string[] = [],
  profiles: readonly string[] = [],
): Promise<readonly Diagnostic[]> {
  const loaded = await loadGrid({ path, cwd, library: testLibrary, sets, profiles });
  return loaded.ok ? loaded.value.warnings : loaded.error;
}

function expectGolden(code: string, diagnostics: readonly Diagnostic[]): void {
  expect(diagnostics.map((diagnostic) => diagnostic.code)).toContain(code);
  expectText(code, `${formatDiagnostics(diagnostics, { color: false })}\n`);
}

function expectText(code: string, text: string): void {
  const path = join(folder, `${code}.txt`);
  if (update) writeFileSync(path, text);
  expect(text).toBe(readFileSync(path, "utf8"));
}

describe("diagnostics, with their code frames", () => {
  const elsewhere = [...impossible, ...selecting, ...made, ...plugged, ...running];
  const codes = diagnosticCodes.filter((code) => !elsewhere.includes(code));

  it.each(codes)("%s", async (code) => {
    const source = readFileSync(join(folder, `${code}.yaml`), "utf8");
    const settings = (option: string): string[] =>
      [...source.matchAll(new RegExp(`^# --${option} (.*)$`, "gm"))].map(([, setting]) => setting ?? "");
    expectGolden(code, await problems(`${code}.yaml`, folder, settings("set"), settings("profile")));
  });

  it("are golden for every code, and for nothing else", () => {
    const known = [...codes, ...selecting, ...made, ...plugged, ...running].map((code) => `${code}.txt`);
    expect(
      readdirSync(folder)
        .filter((name) => name.endsWith(".txt"))
        .toSorted(),
    ).toEqual(known.toSorted());
    for (const code of codes) expect(existsSync(join(folder, `${code}.yaml`)), code).toBe(true);
  });
});

describe("a code frame", () => {
  it("has its squiggle where a terminal shows the place, whose letters may take two columns or none", () => {
    const text = "名前: e\u0301x 値";
    const location = { file: { path: "p.yaml", text }, start: text.indexOf("値"), end: text.length };
    const shown = formatDiagnostics([{ code: "unused", severity: "warning", message: "m", location }], {
      color: false,
    });
    expect(shown.split("\n").slice(1, 3)).toEqual([`>   1 | ${text}`, `      | ${" ".repeat(9)}^^`]);
  });
});

describe("what is wanted of a grid", () => {
  it.each(selecting)("%s", async (code) => {
    const source = readFileSync(join(folder, `${code}.yaml`), "utf8");
    const loaded = await loadGrid({ path: `${code}.yaml`, cwd: folder, library: testLibrary, sets: [] });
    if (!loaded.ok) throw new Error("the pipeline is wrong");
    const { grid } = loaded.value;
    const wanted = [...source.matchAll(/^# --(step|axes) (.*)$/gm)].map(([, option, text = ""]) =>
      option === "axes"
        ? { axes: [text] }
        : { steps: text.split(" with ").slice(0, 1), axes: text.split(" with ").slice(1) },
    );
    const found = wanted.map((each) => partOf(grid, each));
    expect(found.map(({ ok }) => ok)).not.toContain(true);
    expectGolden(
      code,
      found.flatMap((part) => (part.ok ? [] : part.error)),
    );
  });
});

describe("what a pipeline is run with", () => {
  let cwd = "";
  beforeAll(async () => {
    cwd = await mkdtemp(join(tmpdir(), "ranflow-run-with-"));
  });
  afterAll(() => rm(cwd, { recursive: true }));

  async function storeProblem(name: string): Promise<Diagnostic> {
    const opened = await openStore({ root: join(cwd, name) });
    if (opened.ok) throw new Error("the store was opened");
    const { hint, message, ...rest } = opened.error;
    return {
      ...rest,
      message: message.replaceAll(cwd, "FOLDER"),
      ...(hint !== undefined && { hint: hint.replaceAll(cwd, "FOLDER") }),
    };
  }

  it("store-unusable: a file, somebody's folder, a damaged store, and a shared folder", async () => {
    await writeFile(join(cwd, "file"), "");
    await mkdir(join(cwd, "photos"));
    await writeFile(join(cwd, "photos", "cat.png"), "");
    await mkdir(join(cwd, "damaged"));
    await writeFile(join(cwd, "damaged", "format.json"), "{");
    await mkdir(join(cwd, "shared"));
    await writeFile(join(cwd, "shared", "format.json"), '{"format":1,"kind":"remote","ranflow":"0.1.0"}\n');
    const names = ["file", "photos", "damaged", "shared"];
    expectGolden("store-unusable", await Promise.all(names.map(storeProblem)));
  });

  it("store-too-new", async () => {
    await mkdir(join(cwd, "newer"));
    await writeFile(join(cwd, "newer", "format.json"), '{"format":99,"ranflow":"9.0.0"}\n');
    expectGolden("store-too-new", [await storeProblem("newer")]);
  });

  it("not-enough-slots", async () => {
    const source = readFileSync(join(folder, "not-enough-slots.yaml"), "utf8");
    await writeFile(join(cwd, "not-enough-slots.yaml"), source);
    const loaded = await loadGrid({ path: "not-enough-slots.yaml", cwd, library: testLibrary, sets: [] });
    if (!loaded.ok) throw new Error("the pipeline is wrong");
    const slots = { cpu: 2, memory: 4 * 2 ** 30, gpu: 0, other: { licence: 1 } };
    expectGolden(
      "not-enough-slots",
      slotProblems(loaded.value.grid, slots, () => true),
    );
  });

  it("unknown-backend", async () => {
    const workspace = await createWorkspace();
    try {
      await workspace.write("p.yaml", "name: p\nnodes: { write: { type: run.write, with: { text: hi } } }\n");
      const { exitCode, stderr } = await workspace.run(["run", "p.yaml", "--backend", "tensorflwo"]);
      expect(exitCode).toBe(2);
      expectText("unknown-backend", `${stderr}\n`);
    } finally {
      await workspace.remove();
    }
  });
});

describe("plugins", () => {
  /** What `check` prints for a pipeline with these plugins, by name. */
  async function expectPlugins(code: string, plugins: Readonly<Record<string, string>>): Promise<void> {
    const workspace = await createWorkspace();
    try {
      for (const [name, text] of Object.entries(plugins)) await workspace.write(name, text);
      const names = Object.keys(plugins).filter((name) => !name.startsWith("other"));
      const list = names.map((name) => `  - ${name}\n`).join("");
      await workspace.write("p.yaml", `name: p\nplugins:\n${list}nodes: { a: { type: lab.spectrum } }\n`);
      const { exitCode, stderr } = await workspace.run(["check", "p.yaml"]);
      expect(exitCode).toBe(2);
      expectText(code, `${stderr.replaceAll(realpathSync(workspace.folder), "FOLDER")}\n`);
    } finally {
      await workspace.remove();
    }
  }

  it("bad-plugin: everything that can be wrong with one", () =>
    expectPlugins("bad-plugin", {
      "notes.txt": "no module",
      "throws.ts":
        "const table: Record<string, { size: number }> = {};\nexport const size = table.x!.size;\n",
      "in-helper.ts": 'import "./other-throws.ts";\n',
      "other-throws.ts": 'throw "a text";\n',
      "syntax.ts": "export const a = 1;\nexport const b = {;\n",
      "syntax.js": "export const b = {;\n",
      "enum.ts": "export enum Color { Red }\n",
      "no-file.ts": 'import { other } from "./other";\n',
      "no-package.ts": 'import pad from "left-padding";\n',
      "no-export.ts": 'import { defineNodes } from "ranflow/sdk";\n',
      "computed.ts": 'await import(["./other", "ts"].join("."));\n',
      "other.ts": "export const other = 1;\n",
      "required.ts": 'import "./other-required.cjs";\n',
      "other-required.cjs": 'require("./other.ts");\n',
      "nothing.ts": "export const optimiser = { type: 'adam', params: { beta: 0.9 } };\n",
      "half.ts": `
import { port, z } from "ranflow/sdk";
export const list = [{ type: "lab spectrum", version: 0, params: z.string(), inputs: [], outputs: {}, run: 1 }];
export const ports = {
  type: "lab.ports", version: 1, summary: "Has ports", params: z.object({}), run() {}, scan: true,
  inputs: { text: { type: "txt" }, any: port("any") },
  outputs: { "1": port("text"), any: port("any"), own: { type: "lab.own" } },
};
`,
      "kinds.ts": `
import { defineNode, port, z } from "ranflow/sdk";
const common = { version: 1, summary: "Has a port type of its own", inputs: {}, params: z.object({}), async run() {} };
export const a = defineNode({ ...common, type: "lab.a", outputs: { x: port("lab.x", { kind: "file" }) } });
export const b = defineNode({ ...common, type: "lab.b", outputs: { x: port("lab.x", { kind: "folder" }) } });
`,
    }));

  it("duplicate-node-type: of the library, of the plugin itself and of another one", () => {
    const types = (...names: readonly string[]): string => `
import { defineNode, port, z } from "ranflow/sdk";
export default ${JSON.stringify(names)}.map((type) =>
  defineNode({ type, version: 1, summary: "Does nothing", inputs: {}, outputs: { text: port("text") }, params: z.object({}), async run() {} }),
);
`;
    return expectPlugins("duplicate-node-type", {
      "one.ts": types("run.write", "lab.a", "lab.a"),
      "two.ts": types("lab.a", "lab.b"),
    });
  });
});

describe("files that cannot be read", () => {
  let cwd = "";
  beforeAll(async () => {
    cwd = await mkdtemp(join(tmpdir(), "ranflow-load-"));
  });
  afterAll(() => rm(cwd, { recursive: true }));

  it("file-not-found", async () => expectGolden("file-not-found", await problems("nowhere.yaml", cwd)));

  it("file-unreadable: a folder, and text that is not UTF-8", async () => {
    await writeFile(join(cwd, "latin1.yaml"), Buffer.from("name: caf\xe9\n", "latin1"));
    expectGolden("file-unreadable", [...(await problems(".", cwd)), ...(await problems("latin1.yaml", cwd))]);
  });

  it("file-too-large, before it is parsed", async () => {
    await writeFile(join(cwd, "large.yaml"), `name: large\nnodes: {\n${"# filler\n".repeat(120_000)}`);
    expectGolden("file-too-large", await problems("large.yaml", cwd));
  });

  it("too-many-imports: namespaces that double at every level", async () => {
    for (let level = 0; level < 12; level++) {
      await writeFile(
        join(cwd, `level${level}.yaml`),
        `name: level${level}\nimports: { a: level${level + 1}.yaml, b: level${level + 1}.yaml }\n`,
      );
    }
    await writeFile(join(cwd, "level12.yaml"), "name: last\nnodes: { hello: { type: test.write } }\n");
    expectGolden("too-many-imports", await problems("level0.yaml", cwd));
  });
});
