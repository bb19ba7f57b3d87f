import { mkdir, mkdtemp, readFile, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it, describe } from "vitest";
import { everyType } from "../../engine/model/node-library.ts";
import { loadGrid } from "../../engine/load/index.ts";
import { formatDiagnostics } from "../../engine/report/code-frame.ts";
import { pipelineJsonSchema } from "../../engine/schema/json-schema.ts";
import { nodeIndex, nodeReference } from "../../engine/schema/reference.ts";
import { library } from "../../nodes/index.ts";

/** RANFLOW_UPDATE_GOLDEN=1 writes the generated documents anew. */
const update = process.env["RANFLOW_UPDATE_GOLDEN"] === "1";
const root = join(import.meta.dirname, "..", "..");

const types = await everyType(library);

async function problemsOf(path: string): Promise<string> {
  const loaded = await loadGrid({ path, cwd: root, library, sets: [] });
  return loaded.ok ? "" : formatDiagnostics(loaded.error, { color: false });
}

async function yamlExamples(file: string): Promise<readonly string[]> {
  const text = await readFile(join(root, file), "utf8");
  return [...text.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, yaml]) => yaml ?? "");
}

describe("documents", () => {
  it.each(["README.md", "docs/pipeline.md", "docs/cluster.md"])(
    "every YAML example of %s is a pipeline without mistakes",
    async (file) => {
      const folder = await mkdtemp(join(tmpdir(), "ranflow-docs-"));
      const examples = await yamlExamples(file);
      expect(examples.length).toBeGreaterThan(0);
      const pipelines: string[] = [];
      for (const [index, yaml] of examples.entries()) {
        // An example that others import says what its file is called; without a name it is a fragment.
        const path = join(folder, /^# (\S+\.yaml)$/m.exec(yaml)?.[1] ?? `example-${index}.yaml`);
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, yaml);
        if (/^name:/m.test(yaml)) pipelines.push(path);
      }
      expect(pipelines.length).toBeGreaterThan(0);
      for (const path of pipelines) expect(await problemsOf(path)).toBe("");
    },
  );

  it("every pipeline in pipelines/ is without mistakes", async () => {
    const files = (await readdir(join(root, "pipelines"))).filter((name) => name.endsWith(".yaml"));
    expect(files).toContain("quickstart.yaml");
    for (const file of files) expect(await problemsOf(join(root, "pipelines", file))).toBe("");
  });

  it("docs/nodes.md is what the node types say", async () => {
    const text = ["# Node reference", nodeIndex(types), ...types.map(nodeReference), ""].join("\n\n");
    await expectGenerated("docs/nodes.md", text.replace(/\n{3,}/g, "\n\n").trimEnd() + "\n");
  });

  it("docs/pipeline.schema.json is what the node types say", async () => {
    await expectGenerated(
      "docs/pipeline.schema.json",
      `${JSON.stringify(pipelineJsonSchema(types), undefined, 2)}\n`,
    );
  });
});

async function expectGenerated(file: string, text: string): Promise<void> {
  const path = join(root, file);
  if (update) await writeFile(path, text);
  expect(await readFile(path, "utf8")).toBe(text);
}
