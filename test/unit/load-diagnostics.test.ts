import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadGrid } from "../../engine/load/index.ts";
import { diagnosticCodes } from "../../engine/model/diagnostic.ts";
import type { Diagnostic } from "../../engine/model/diagnostic.ts";
import { formatDiagnostics } from "../../engine/report/code-frame.ts";
import { testLibrary } from "../rig/library.ts";

/**
 * For every code, `<code>.yaml` and what is printed for it, `<code>.txt`. Comments `# --set ...` and `# --profile ...` at
 * the head of the YAML are settings. RANFLOW_UPDATE_GOLDEN=1 writes the texts anew: read the difference before committing it.
 */
const folder = join(import.meta.dirname, "../golden/diagnostics");
const update = process.env["RANFLOW_UPDATE_GOLDEN"] === "1";

/** Codes that other parts of ranflow report, and one that the language leaves no way to bring about. */
const elsewhere = [
  "unknown-step",
  "unknown-backend",
  "store-unusable",
  "store-too-new",
  "not-enough-slots",
  "duplicate-step",
];
/** Codes whose file cannot lie in the repository. */
const made = ["file-not-found", "file-unreadable", "file-too-large", "too-many-imports"];

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
  const path = join(folder, `${code}.txt`);
  const text = `${formatDiagnostics(diagnostics, { color: false })}\n`;
  if (update) writeFileSync(path, text);
  expect(diagnostics.map((diagnostic) => diagnostic.code)).toContain(code);
  expect(text).toBe(readFileSync(path, "utf8"));
}

describe("diagnostics, with their code frames", () => {
  const codes = diagnosticCodes.filter((code) => !elsewhere.includes(code) && !made.includes(code));

  it.each(codes)("%s", async (code) => {
    const source = readFileSync(join(folder, `${code}.yaml`), "utf8");
    const settings = (option: string): string[] =>
      [...source.matchAll(new RegExp(`^# --${option} (.*)$`, "gm"))].map(([, setting]) => setting ?? "");
    expectGolden(code, await problems(`${code}.yaml`, folder, settings("set"), settings("profile")));
  });

  it("are golden for every file in the folder", () => {
    const known = [...codes, ...made].map((code) => `${code}.txt`);
    expect(
      readdirSync(folder)
        .filter((name) => name.endsWith(".txt"))
        .toSorted(),
    ).toEqual(known.toSorted());
    for (const code of codes) expect(existsSync(join(folder, `${code}.yaml`)), code).toBe(true);
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
