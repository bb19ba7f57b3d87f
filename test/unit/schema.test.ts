import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { parse } from "yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { everyType } from "../../engine/model/node-library.ts";
import { loadGrid } from "../../engine/load/index.ts";
import { pipelineJsonSchema } from "../../engine/schema/json-schema.ts";
import { library } from "../../nodes/index.ts";

const pipelines = join(import.meta.dirname, "..", "..", "pipelines");
const types = await everyType(library);
const ajv = new Ajv({ strict: false, validateFormats: false });
const isValid = ajv.compile(pipelineJsonSchema(types));

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-schema-"));
  await writeFile(join(folder, "fragment.yaml"), "inputs: { limit: 10 }\n");
  await writeFile(
    join(folder, "other.yaml"),
    "inputs: { size: 64 }\nnodes: { world: { type: data.synthetic } }\n",
  );
});
afterAll(() => rm(folder, { recursive: true }));

async function loads(yaml: string): Promise<boolean> {
  await writeFile(join(folder, "p.yaml"), yaml);
  return (await loadGrid({ path: "p.yaml", cwd: folder, library, sets: [] })).ok;
}

/** The language at work: every form of axis, binding and parameters that the paper's table needs. */
const table = `
name: table-10
description: Fine-tuning under upstream noise
seed: 7

inputs:
  epochs: 10

axes:
  noise: { image: attacked.pairs, caption: rewritten.pairs }
  gamma: [0, 5, 10, 20, 30]
  head:
    probe: { method: probe }
    mlp: { method: mlp }
    ran: { method: ran, alpha: 0.01, beta: 0.015 }
  cxr: { train: cxr-train, test: cxr-test, ood: chexpert }

nodes:
  roco: { type: data.rocov2, with: { root: ~/data/rocov2, split: train } }
  medicat: { type: data.medicat, with: { root: ~/data/medicat } }
  cxr-train: { type: data.chestxray14, with: { root: ~/data/nih, split: train } }
  cxr-test: { type: data.chestxray14, with: { root: ~/data/nih, split: test } }
  chexpert: { type: data.chexpert, with: { root: ~/data/chexpert, split: valid } }
  checkpoint: { type: model.clip, with: { checkpoint: ~/models/clip } }
  attacked:
    type: attack.image-pgd
    in: { pairs: roco, targets: medicat, model: checkpoint }
    with: { eps: 8/255, percent: 30% }
  rewritten: { type: attack.caption-llm, in: { pairs: roco } }
  noisy:
    type: noise.mix
    in: { clean: roco, noisy: $(noise) }
    with: { percent: $(gamma) }
  pretrain:
    type: clip.pretrain
    in: { pairs: noisy.pairs, init: checkpoint }
    with: { epochs: $(inputs.epochs), batchSize: 16, learningRate: 5e-4 }
    resources: { gpu: 1 }
  embed:
    type: clip.embed-images
    in: { model: pretrain, images: $(cxr) }
  finetune:
    type: head.train
    in: { train: { from: embed, at: { cxr: train } } }
    with: $(head)
  evaluate:
    type: evaluate.classification
    in: { head: finetune, features: embed }
    only: [{ cxr: [test, ood] }]
  table:
    type: report.table
    in: { rows: { collect: evaluate.metrics } }
    with: { rows: [noise, gamma, head], columns: [dataset], value: headline }
`;

/** The same with what a pipeline can have besides. */
const whole = table.replace(
  "axes:\n",
  `imports: [fragment.yaml, { other: { file: other.yaml, inputs: { size: $(inputs.epochs) } } }]

plugins: []

executor: slurm
slurm: { partition: gpu, time: 12h, options: [--exclusive] }

profiles:
  paper: { inputs: { epochs: 30 }, axes: { gamma: [0, 20] }, seed: 9 }
  laptop: { executor: local }
  none:

grid:
  zip: [[noise, other-noise]]
  exclude: [{ gamma: 5, noise: caption }]
  include: [{ gamma: [40, 50], head: ran }]

axes:
  other-noise: [x, y]
`,
);

describe("the paper's table", () => {
  it("expands over the axes that each node mentions or inherits", async () => {
    await writeFile(join(folder, "table.yaml"), table);
    const loaded = await loadGrid({ path: "table.yaml", cwd: folder, library, sets: [] });
    if (!loaded.ok) throw new Error(loaded.error.map(({ message }) => message).join("\n"));
    const { grid, warnings } = loaded.value;
    expect(warnings).toEqual([]);
    const shape = (name: string): readonly [string, number] => {
      const node = grid.nodes.find((candidate) => candidate.name === name);
      return [node?.axes.join(" ") ?? "", node?.steps.length ?? 0];
    };
    expect(shape("noisy")).toEqual(["noise gamma", 10]);
    expect(shape("pretrain")).toEqual(["noise gamma", 10]);
    expect(shape("embed")).toEqual(["noise gamma cxr", 30]);
    expect(shape("finetune")).toEqual(["noise gamma head", 30]);
    expect(shape("evaluate")).toEqual(["noise gamma head cxr", 60]);
    expect(shape("table")).toEqual(["", 1]);
    const ran = grid.steps.find(({ id }) => id === "finetune[noise=image,gamma=20,head=ran]");
    expect(ran?.params).toMatchObject({ method: "ran", alpha: 0.01, beta: 0.015 });
    const read = ran?.inputs["train"];
    expect(read?.kind === "one" && grid.steps[read.step]?.id).toBe("embed[noise=image,gamma=20,cxr=train]");
    const attack = grid.steps.find(({ node }) => node === "attacked");
    expect(attack?.params).toMatchObject({ eps: 8 / 255, percent: 30 });
    const clean = grid.steps.find(({ id }) => id === "noisy[noise=caption,gamma=0]");
    expect(clean?.reads).toEqual(["clean"]);
  });
});

describe("the JSON Schema for editors", () => {
  it("accepts every pipeline there is", async () => {
    const files = (await readdir(pipelines)).filter((name) => name.endsWith(".yaml"));
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) {
      isValid(parse(await readFile(join(pipelines, file), "utf8")));
      expect(isValid.errors, file).toBeNull();
    }
    isValid(parse(whole));
    expect(isValid.errors).toBeNull();
    expect(await loads(whole)).toBe(true);
    isValid(parse(await readFile(join(folder, "fragment.yaml"), "utf8")));
    expect(isValid.errors).toBeNull();
  });

  it.each([
    ["a field of the pipeline", "seed: 7", "sead: 7"],
    ["a field of a node", "only:", "onyl:"],
    ["a node type", "noise.mix", "noise.mixx"],
    ["an input", "{ clean: roco, noisy", "{ claen: roco, noisy"],
    ["a parameter", "batchSize: 16", "batchsize: 16"],
    ["a parameter in a merged list", "with: $(head)", "with: [{ epohcs: 3 }, $(head)]"],
    ["a choice", "split: valid", "split: vaild"],
    ["a number", "batchSize: 16", "batchSize: many"],
    ["a unit", "percent: 30%", "percent: 8/255"],
    ["a range", "percent: 30%", "percent: -3"],
    ["a binding's field", "{ from: embed, at:", "{ from: embed, art:"],
    ["a collect where one is taken", "in: { pairs: roco }", "in: { pairs: { collect: roco } }"],
    ["a resource", "gpu: 1", "gpu: lots"],
    ["a name", "name: table-10", "name: table 10"],
    ["an axis", "gamma: [0, 5, 10, 20, 30]", "gamma: 5"],
    ["an import", "{ file: other.yaml", "{ flie: other.yaml"],
    ["imports", "imports: [fragment.yaml,", "imports: [7,"],
    ["plugins", "plugins: []", "plugins: [{ file: my-nodes.ts }]"],
    ["a profile", "paper: { inputs:", "paper: { input:"],
    ["a profile's seed", "seed: 9", "seed: nine"],
    ["an executor", "executor: slurm", "executor: slrum"],
    ["a profile's executor", "executor: local", "executor: locally"],
    ["what is asked of Slurm", "partition: gpu", "partitions: gpu"],
    ["a time limit", "time: 12h", "time: 12"],
    ["a zip", "zip: [[noise, other-noise]]", "zip: [noise, other-noise]"],
    ["a rule of the grid", "include:", "inculde:"],
    ["an included point", "head: ran }]", "head: { ran: 1 } }]"],
    ["a node without a type", "type: clip.embed-images\n", "description: no type\n"],
  ])("refuses a slip in %s, as loading does", async (_, right, wrong) => {
    const slipped = whole.replace(right, wrong);
    expect(slipped).not.toBe(whole);
    expect(isValid(parse(slipped))).toBe(false);
    expect(await loads(slipped)).toBe(false);
  });

  it("describes every parameter and input", () => {
    const { definitions } = pipelineJsonSchema(types) as unknown as {
      definitions: Record<string, { properties: { in: Described; with: { anyOf: [Described] } } }>;
    };
    interface Described {
      readonly properties: Readonly<Record<string, { readonly description?: string }>>;
    }
    for (const type of library.names) {
      const { properties } = definitions[type]!;
      for (const part of [properties.in, properties.with.anyOf[0]]) {
        for (const [name, { description }] of Object.entries(part.properties)) {
          expect(description, `${type} ${name}`).toMatch(/\w{3}/);
        }
      }
    }
  });
});
