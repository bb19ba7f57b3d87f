import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findStep, partOf } from "../../engine/grid/part.ts";
import type { GridPart, Wanted } from "../../engine/grid/part.ts";
import { selectSteps } from "../../engine/grid/selectors.ts";
import type { Grid, Step } from "../../engine/model/grid.ts";
import { formatDiagnostics } from "../../engine/report/code-frame.ts";
import { createPipelineFolder, readsOf, stepIds } from "../rig/pipeline-folder.ts";
import type { PipelineFolder } from "../rig/pipeline-folder.ts";

/** A model for each noise and gamma, a head for each model, a baseline that is pinned, tables over all and over some. */
const pipeline = `
name: sketch
axes:
  noise: [image, text]
  gamma: [0, 20, 1e+5]
  head: [probe, ran]
nodes:
  data: { type: test.write, with: { text: d } }
  mix: { type: test.write, with: { text: "$(noise.label) $(gamma.label)" } }
  finetune: { type: test.edit, in: { text: mix, other: data }, with: { share: 50 } }
  evaluate: { type: test.concat, in: { texts: [finetune.text, head-name.text] } }
  head-name: { type: test.write, with: { text: $(head.label) } }
  against: { type: test.edit, in: { text: evaluate, other: { from: evaluate, at: { gamma: 0 } } }, with: { share: 50 } }
  table: { type: test.concat, in: { texts: { collect: evaluate.text } } }
  table-by-noise: { type: test.concat, in: { texts: { collect: evaluate.text, over: [gamma, head] } } }
  figure: { type: test.edit, in: { text: table, other: data }, with: { share: 50 } }
`;

let folder: PipelineFolder;
let grid: Grid;
beforeAll(async () => {
  folder = await createPipelineFolder();
  grid = await folder.grid({ "p.yaml": pipeline });
});
afterAll(() => folder.remove());

function named(...selectors: readonly string[]): readonly string[] {
  const selected = selectSteps(grid, selectors);
  if (!selected.ok) throw new Error(formatDiagnostics(selected.error, { color: false }));
  return selected.value.map((index) => grid.steps[index]?.id ?? "");
}

function part(wanted: Wanted, whole: Grid = grid): GridPart {
  const found = partOf(whole, wanted);
  if (!found.ok) throw new Error(formatDiagnostics(found.error, { color: false }));
  return found.value;
}

function wrong(wanted: Wanted): string {
  const found = partOf(grid, wanted);
  return found.ok ? "" : formatDiagnostics(found.error, { color: false });
}

describe("a selector", () => {
  it("names a node, and takes all values of the axes that it leaves out", () => {
    expect(named("table")).toEqual(["table"]);
    expect(named("mix")).toHaveLength(6);
    expect(named("mix[]")).toEqual(named("mix"));
    expect(named("mix[*]")).toEqual(named("mix"));
    expect(named("mix[noise=text]")).toEqual([
      "mix[noise=text,gamma=0]",
      "mix[noise=text,gamma=20]",
      "mix[noise=text,gamma=1e+5]",
    ]);
  });

  it("takes axes in any order, and several labels of one", () => {
    expect(named("mix[gamma=20, noise=image]")).toEqual(["mix[noise=image,gamma=20]"]);
    expect(named("mix[gamma=0,20,noise=image]")).toEqual([
      "mix[noise=image,gamma=0]",
      "mix[noise=image,gamma=20]",
    ]);
    expect(named("mix[noise=image,gamma=0,*]")).toEqual(["mix[noise=image,gamma=0]"]);
  });

  it("takes globs in the node and in labels", () => {
    expect(named("table*")).toEqual(["table", "table-by-noise[noise=image]", "table-by-noise[noise=text]"]);
    expect(named("*[noise=im*,gamma=?]")).toEqual(
      stepIds(grid).filter((id) => id.includes("noise=image,gamma=0")),
    );
    expect(named("mix[gamma=*]")).toEqual(named("mix"));
  });

  it("adds what comes before and after; a plus within brackets is a label's", () => {
    expect(named("mix[noise=image,gamma=1e+5]")).toEqual(["mix[noise=image,gamma=1e+5]"]);
    expect(named("+finetune[noise=image,gamma=1e+5]")).toEqual([
      "data",
      "mix[noise=image,gamma=1e+5]",
      "finetune[noise=image,gamma=1e+5]",
    ]);
    expect(named("table+")).toEqual(["table", "figure"]);
    expect(named("evaluate[noise=text,gamma=20,head=ran]+")).toEqual([
      "evaluate[noise=text,gamma=20,head=ran]",
      "against[noise=text,gamma=20,head=ran]",
      "table",
      "table-by-noise[noise=text]",
      "figure",
    ]);
    expect(named("+table+")).toEqual(named("+figure"));
    expect(named("+mix[gamma=1e+5]+")).toContain("figure");
  });

  it("adds to the others, each step once, in the order of the grid", () => {
    expect(named("table", "data", "t*e")).toEqual([
      "data",
      "table",
      "table-by-noise[noise=image]",
      "table-by-noise[noise=text]",
    ]);
  });

  it.each([
    "",
    "+",
    "mix[",
    "mix[gamma",
    "mix[gamma=",
    "mix[gamma=0",
    "mix[=0]",
    "mix[gamma=0]]",
    "mix gamma",
    "mix#",
    "mix[gamma=0;noise=image]",
    "mix++",
    "mix.text",
  ])("is refused where it is no selector: %s", (text) =>
    expect(wrong({ steps: [text] })).toMatch(/^selector:1:\d+ selector-syntax expected/),
  );
});

describe("a step's id", () => {
  it("is the selector of that step alone", () => {
    for (const id of stepIds(grid)) expect(named(id)).toEqual([id]);
  });
});

describe("a part of a grid", () => {
  it("is all of it where nothing is said", () => {
    expect(part({}).grid).toBe(grid);
    expect(part({ steps: ["*"] })).toMatchObject({ of: grid.steps.length, partial: [] });
    expect(part({ steps: ["*"] }).selected).toHaveLength(grid.steps.length);
  });

  it("has the named steps and what they read, rewired", () => {
    const { grid: smaller, of, selected } = part({ steps: ["finetune[noise=text,gamma=20]"] });
    expect(stepIds(smaller)).toEqual(["data", "mix[noise=text,gamma=20]", "finetune[noise=text,gamma=20]"]);
    expect(selected).toEqual([2]);
    expect(of).toBe(grid.steps.length);
    expect(smaller.nodes.map(({ name, steps }) => [name, steps])).toEqual([
      ["data", [0]],
      ["mix", [1]],
      ["finetune", [2]],
    ]);
    expect(smaller.steps.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(readsOf(smaller, "finetune[noise=text,gamma=20]", "text")).toBe("mix[noise=text,gamma=20]");
    const before = grid.steps.find(({ id }) => id === "finetune[noise=text,gamma=20]");
    const { params, reads, seed, resources, retries, cache, point, node, nodeType } = smaller.steps[2] ?? {};
    expect(before).toMatchObject({ params, reads, seed, resources, retries, cache, point, node, nodeType });
  });

  it("keeps all that a table gathers", () => {
    const { grid: smaller } = part({ steps: ["table"] });
    expect(readsOf(smaller, "table", "texts")).toEqual(readsOf(grid, "table", "texts"));
    expect(stepIds(smaller).some((id) => id.startsWith("against"))).toBe(false);
  });
});

describe("--axes", () => {
  it("leaves out the steps of other labels", () => {
    const { grid: smaller, partial, selected } = part({ axes: ["gamma=0,20", "noise=image"] });
    expect(stepIds(smaller).filter((id) => id.startsWith("mix"))).toEqual([
      "mix[noise=image,gamma=0]",
      "mix[noise=image,gamma=20]",
    ]);
    expect(partial).toEqual([
      "table[noise=image,gamma=0,20]",
      "table-by-noise[noise=image,gamma=0,20]",
      "figure[noise=image,gamma=0,20]",
    ]);
    expect(selected).toHaveLength(smaller.steps.length);
    expect(readsOf(smaller, "table[noise=image,gamma=0,20]", "texts")).toHaveLength(4);
  });

  it("takes globs, adds up, and changes no id where nothing is left out", () => {
    expect(stepIds(part({ axes: ["gamma=0", "gamma=2*"] }).grid)).toEqual(
      stepIds(part({ axes: ["gamma=0,20"] }).grid),
    );
    expect(stepIds(part({ axes: ["gamma=*;noise=?????,text"] }).grid)).toEqual(stepIds(grid));
  });

  it("keeps what is pinned to another label, as something that is needed", () => {
    const { grid: smaller, selected } = part({ axes: ["gamma=20"], steps: ["against"] });
    const pinned = "evaluate[noise=image,gamma=0,head=probe]";
    expect(readsOf(smaller, "against[noise=image,gamma=20,head=probe]", "other")).toBe(pinned);
    const ids = selected.map((index) => smaller.steps[index]?.id);
    expect(ids).not.toContain(pinned);
    expect(ids).toHaveLength(4);
  });

  it("finds the steps of a part by their ids alone", () => {
    for (const axes of ["gamma=0,20", "noise=text", "gamma=20;head=ran"]) {
      const { grid: smaller } = part({ axes: [axes] });
      for (const { id } of smaller.steps) {
        const found = findStep(grid, id);
        expect(found?.grid.steps[found.index]?.id).toBe(id);
        if (found && id.startsWith("table["))
          expect(readsOf(found.grid, id, "texts")).toEqual(readsOf(smaller, id, "texts"));
      }
    }
    for (const id of ["table[gamma=7]", "table[nose=image]", "nothing", "table[", "mix[gamma=0"])
      expect(findStep(grid, id)).toBeUndefined();
  });

  it("is refused where it leaves out every step", async () => {
    const trimmed = await folder.grid({
      "p.yaml": `
name: trimmed
axes: { noise: [image, text], gamma: [0, 20] }
nodes: { mix: { type: test.write, with: { text: $(noise) $(gamma) }, except: [{ noise: text, gamma: 20 }] } }
`,
    });
    const found = partOf(trimmed, { axes: ["gamma=20", "noise=text"] });
    expect(found).toMatchObject({
      ok: false,
      error: [{ code: "unknown-step", message: expect.stringContaining("labels of gamma, noise at once") }],
    });
  });

  it("changes nothing of how its steps run", async () => {
    const cluster = await folder.grid({
      "p.yaml": `
name: cluster
executor: slurm
slurm: { partition: gpu, time: 1h }
axes: { gamma: [0, 20] }
nodes:
  mix: { type: test.write, with: { text: $(gamma.label) }, retries: 3, timeout: 5s, resources: { cpu: 2 } }
  all: { type: test.concat, in: { texts: { collect: mix.text } }, retries: 2 }
`,
    });
    const { grid: cut } = part({ axes: ["gamma=20"] }, cluster);
    const told = ({ node, slurm, retries, timeout, resources }: Step): object => ({
      node,
      slurm,
      retries,
      timeout,
      resources,
    });
    expect(cut.steps.map(told)).toEqual(cluster.steps.slice(1).map(told));
    expect(cut.steps[0]?.slurm).toMatchObject({ partition: "gpu" });
  });

  it("tells apart what a step is and what it gathers, of one axis", async () => {
    const both = await folder.grid({
      "p.yaml": `
name: both
axes: { noise: [image, text, none] }
nodes:
  mix: { type: test.write, with: { text: $(noise.label) } }
  all: { type: test.concat, in: { texts: { collect: mix.text } } }
  each: { type: test.edit, in: { text: mix, other: all }, with: { share: 50 } }
`,
    });
    const found = part({ axes: ["noise=image,text"] }, both);
    const id = "each[noise=image,noise=image,text]";
    expect(stepIds(found.grid)).toContain(id);
    expect(findStep(both, id)?.grid.steps.map((step) => step.id)).toEqual(stepIds(found.grid));
  });

  it("gathers all of what it names with `at`, and leaves out what has nothing left to gather", async () => {
    const grids = await folder.grid({
      "p.yaml": `
name: pins
axes: { noise: [image, text], gamma: [0, 10, 20] }
nodes:
  mix: { type: test.write, with: { text: $(noise.label) $(gamma.label) } }
  some: { type: test.write, with: { text: $(gamma.label) }, only: [{ gamma: [10, 20] }] }
  baseline: { type: test.concat, in: { texts: { collect: mix.text, at: { gamma: 0 }, over: [noise] } } }
  rest: { type: test.concat, in: { texts: { collect: some.text } } }
  after: { type: test.edit, in: { text: rest, other: baseline }, with: { share: 50 } }
  last: { type: test.concat, in: { texts: [{ collect: rest.text }, { collect: mix.text }] } }
`,
    });
    const found = part({ axes: ["gamma=0"] }, grids);
    expect(stepIds(found.grid)).toEqual([
      "mix[noise=image,gamma=0]",
      "mix[noise=text,gamma=0]",
      "baseline",
      "last[gamma=0]",
    ]);
    const pinned = part({ axes: ["gamma=20"], steps: ["baseline", "after*"] }, grids);
    expect(stepIds(pinned.grid)).toEqual([
      "mix[noise=image,gamma=0]",
      "mix[noise=text,gamma=0]",
      "some[gamma=20]",
      "baseline",
      "rest[gamma=20]",
      "after[gamma=20]",
    ]);
  });

  it("keeps what one entry of a list pins beside what another gathers of the same node", async () => {
    const beside = await folder.grid({
      "p.yaml": `
name: beside
axes: { noise: [none, image, text] }
nodes:
  mix: { type: test.write, with: { text: $(noise.label) } }
  rows: { type: test.concat, in: { texts: [{ collect: mix.text, at: { noise: none } }, { collect: mix.text, over: [noise] }] } }
`,
    });
    const { grid } = part({ axes: ["noise=image"] }, beside);
    expect(readsOf(grid, "rows[noise=image]", "texts")).toEqual([
      ["mix[noise=none]", { noise: "none" }],
      ["mix[noise=image]", { noise: "image" }],
    ]);
  });
});
