import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPipelineFolder, readsOf, stepIds } from "../rig/pipeline-folder.ts";
import type { PipelineFolder } from "../rig/pipeline-folder.ts";

let folder: PipelineFolder;
beforeAll(async () => {
  folder = await createPipelineFolder();
});
afterAll(() => folder.remove());

/** Axes of three labels each: `a`, `b` and `c`, and a map `head`. */
const pipeline = (grid: string, nodes: string): Record<string, string> => ({
  "p.yaml": `
name: rules
axes:
  a: [a0, a1, a2]
  b: [b0, b1, b2]
  c: [0, 1]
  head: { probe: { method: probe }, ran: { method: ran } }
grid: ${grid}
nodes:
${nodes}`,
});

/** Labels of the points that a node over some axes has. */
async function points(grid: string, axes: string, more = ""): Promise<readonly string[]> {
  const text = axes
    .split(" ")
    .map((axis) => `$(${axis}.label)`)
    .join(" ");
  const found = await folder.grid(
    pipeline(grid, `  n: { type: test.write, with: { text: ${text} a }${more} }\n`),
  );
  return found.steps.map(({ point }) => Object.values(point).join(" "));
}

describe("grid.zip", () => {
  it("takes its axes row by row, in every node that has two of them", async () => {
    expect(await points("{ zip: [[a, b]] }", "b a c")).toEqual([
      "a0 b0 0",
      "a0 b0 1",
      "a1 b1 0",
      "a1 b1 1",
      "a2 b2 0",
      "a2 b2 1",
    ]);
    expect(await points("{ zip: [[a, b]] }", "b")).toEqual(["b0", "b1", "b2"]);
    expect(await points("{ zip: [[b, a], [c, head]] }", "c head b")).toHaveLength(6);
  });

  it("joins upstream steps of one of its axes each", async () => {
    const grid = await folder.grid(
      pipeline(
        "{ zip: [[a, b]] }",
        `  left: { type: test.write, with: { text: $(a) } }
  right: { type: test.write, with: { text: $(b) } }
  both: { type: test.edit, in: { text: left, other: right }, with: { share: 5 } }
`,
      ),
    );
    expect(stepIds(grid).slice(6)).toEqual(["both[a=a0,b=b0]", "both[a=a1,b=b1]", "both[a=a2,b=b2]"]);
    expect(readsOf(grid, "both[a=a1,b=b1]", "other")).toBe("right[b=b1]");
  });

  it("is taken away whole by `at` and `over` on one of its axes", async () => {
    const grid = await folder.grid(
      pipeline(
        "{ zip: [[a, b]] }",
        `  train: { type: test.write, with: { text: $(a) $(b) $(c) } }
  rows: { type: test.concat, in: { texts: { collect: train, over: [b] } } }
  first: { type: test.seeded, in: { text: { from: train, at: { a: a1 } } } }
  exact: { type: test.seeded, in: { text: { from: train, at: { a: a1, b: b1 } } } }
`,
      ),
    );
    expect(readsOf(grid, "rows[c=1]", "texts")).toEqual([
      ["train[a=a0,b=b0,c=1]", { a: "a0", b: "b0" }],
      ["train[a=a1,b=b1,c=1]", { a: "a1", b: "b1" }],
      ["train[a=a2,b=b2,c=1]", { a: "a2", b: "b2" }],
    ]);
    expect(readsOf(grid, "first[c=0]", "text")).toBe("train[a=a1,b=b1,c=0]");
    expect(readsOf(grid, "exact[c=0]", "text")).toBe("train[a=a1,b=b1,c=0]");
  });

  it("leaves nothing to a pin across its rows", async () => {
    expect(
      await folder.problems(
        pipeline(
          "{ zip: [[a, b]] }",
          `  train: { type: test.write, with: { text: $(a) $(b) $(c) } }
  wrong: { type: test.seeded, in: { text: { from: train, at: { a: a1, b: b2 } } } }
`,
        ),
      ),
    ).toContain("p.yaml:trimmed-step: `wrong[c=0]` pins `train` to a=a1, b=b2, and that step is trimmed");
  });

  it("makes a large grid small before anything is counted", async () => {
    const labels = Array.from({ length: 2_000 }, (_, i) => i).join(", ");
    const grid = await folder.grid({
      "p.yaml": `
name: large
axes: { a: [${labels}], b: [${labels}], c: [${labels}] }
grid: { zip: [[a, b, c]] }
nodes:
  n: { type: test.write, with: { text: "$(a) $(b)" } }
  m: { type: test.seeded, in: { text: n }, seed: $(c) }
`,
    });
    expect(grid.steps).toHaveLength(4_000);
    expect(grid.steps.at(-1)).toMatchObject({ id: "m[a=1999,b=1999,c=1999]", seed: 1999 });
  });
});

describe("grid.include", () => {
  it("brings a label only where it says, and takes all values of the axes it leaves out", async () => {
    expect(await points("{ include: [{ c: 7, a: a1 }] }", "a c")).toEqual([
      "a0 0",
      "a0 1",
      "a1 0",
      "a1 1",
      "a1 7",
      "a2 0",
      "a2 1",
    ]);
    expect(await points("{ include: [{ c: 7, a: a1 }] }", "c head")).toEqual([
      "0 probe",
      "0 ran",
      "1 probe",
      "1 ran",
      "7 probe",
      "7 ran",
    ]);
    expect(await points("{ include: [{ c: 7 }, { b: new }] }", "b c")).toHaveLength(6 + 3 + 2);
  });

  it("adds what `exclude` took, and `only` and `except` take from it", async () => {
    const rules = "{ exclude: [{ a: [a0, a1] }], include: [{ a: a1, c: 1 }] }";
    expect(await points(rules, "a c")).toEqual(["a1 1", "a2 0", "a2 1"]);
    expect(await points(rules, "a")).toEqual(["a1", "a2"]);
    expect(await points(rules, "a c", ", only: [{ a: a1 }]")).toEqual(["a1 1"]);
    expect(await points(rules, "a c", ", except: [{ a: a1 }]")).toEqual(["a2 0", "a2 1"]);
  });

  it("adds rows to a zip where it names all its axes; where it names some, the others follow", async () => {
    expect(await points("{ zip: [[a, b]], include: [{ a: a0, b: [b1, b9] }] }", "a b")).toEqual([
      "a0 b0",
      "a1 b1",
      "a2 b2",
      "a0 b1",
      "a0 b9",
    ]);
    // The second point means the row of the zip, not that which the first one added.
    const rules =
      "{ zip: [[a, b]], exclude: [{ a: a0 }], include: [{ a: a0, b: b1, c: 0 }, { a: a0, c: 1 }] }";
    expect(await points(rules, "a b c")).toEqual([
      "a0 b0 1",
      "a1 b1 0",
      "a1 b1 1",
      "a2 b2 0",
      "a2 b2 1",
      "a0 b1 0",
    ]);
    const grid = await folder.grid(
      pipeline(
        "{ zip: [[a, b]], include: [{ a: a0, b: b1 }] }",
        `  train: { type: test.write, with: { text: $(a) $(b) } }
  row: { type: test.seeded, in: { text: { from: train, at: { a: a1 } } } }
  added: { type: test.seeded, in: { text: { from: train, at: { a: a0, b: b1 } } } }
  both: { type: test.concat, in: { texts: { collect: train, at: { a: a0 } } } }
`,
      ),
    );
    expect(readsOf(grid, "row", "text")).toBe("train[a=a1,b=b1]");
    expect(readsOf(grid, "added", "text")).toBe("train[a=a0,b=b1]");
    expect(readsOf(grid, "both", "texts")).toEqual([
      ["train[a=a0,b=b0]", { a: "a0", b: "b0" }],
      ["train[a=a0,b=b1]", { a: "a0", b: "b1" }],
    ]);
  });

  it("makes a pin of one step ambiguous only where both rows are there", async () => {
    const rules = (point: string): string => `{ zip: [[a, b]], include: [{ a: a0, b: b1, c: 1 }]${point} }`;
    const nodes = `  train: { type: test.write, with: { text: $(a) $(b) $(c) } }
  one: { type: test.seeded, in: { text: { from: train, at: { a: a0 } } } }
`;
    expect(await folder.problems(pipeline(rules(""), nodes))).toContain(
      "p.yaml:ambiguous-pin: `one[c=1]` pins `train` to a=a0, and several steps have that",
    );
    const grid = await folder.grid(pipeline(rules(", exclude: [{ a: a0, b: b0, c: 1 }]"), nodes));
    expect(readsOf(grid, "one[c=0]", "text")).toBe("train[a=a0,b=b0,c=0]");
    expect(readsOf(grid, "one[c=1]", "text")).toBe("train[a=a0,b=b1,c=1]");
  });

  it("keeps the type of an added value", async () => {
    const grid = await folder.grid(
      pipeline(
        "{ include: [{ c: [0.5, 12] }] }",
        "  n: { type: test.seeded, with: { method: ran, alpha: $(c) } }\n",
      ),
    );
    expect(grid.steps.map(({ params }) => params["alpha"])).toEqual([0, 1, 0.5, 12]);
    expect(grid.axes["c"]).toEqual(["0", "1", "0.5", "12"]);
  });

  it.each([
    ["a new label of a map", "{ include: [{ head: mlp }] }", "unknown-label: axis `head` has no label `mlp`"],
    ["a map as a value", "{ include: [{ c: { a: 1 } }] }", "wrong-type: a map is no label of axis `c`"],
    ["nothing as a value", "{ include: [{ c: ~ }] }", "unknown-label: axis `c` has no label `~`"],
    ["an axis that is not there", "{ include: [{ d: 1 }] }", "unknown-axis: there is no axis `d`"],
    ["a point that is there", "{ include: [{ c: 1 }] }", "unused: this point of `include` adds nothing"],
    [
      "more rows than anybody means",
      `{ zip: [[a, b]], include: [{ a: [${Array.from({ length: 400 }, (_, i) => i).join(", ")}], b: [${Array.from({ length: 400 }, (_, i) => i).join(", ")}] }] }`,
      "grid-too-large: this point stands for 160,000 rows of a zip",
    ],
  ])("is checked: %s", async (_, rules, problem) => {
    expect(
      await folder.problems(
        pipeline(rules, "  n: { type: test.write, with: { text: $(a) $(b) $(c) $(head.method) } }\n"),
      ),
    ).toEqual([`p.yaml:${problem}`]);
  });
});

describe("a node that an input may take away", () => {
  const switched = (except: string): Record<string, string> => ({
    "p.yaml": `
name: switch
inputs: { start: train, untrained: [] }
profiles: { published: { inputs: { start: load, untrained: [{ arch: [nano, micro] }] } } }
axes: { arch: [nano, micro] }
nodes:
  load: { type: test.write, with: { text: $(arch) } }
  train: { type: test.seeded, in: { text: load }, except: ${except} }
  use: { type: test.edit, in: { text: $(inputs.start) } }
`,
  });
  it("has no step where it is not wanted, and nobody is warned", async () => {
    const train = async (profiles: readonly string[]) =>
      stepIds(await folder.grid(switched("$(inputs.untrained)"), { profiles })).filter((id) =>
        id.startsWith("train"),
      );
    expect(await train([])).toEqual(["train[arch=nano]", "train[arch=micro]"]);
    expect(await train(["published"])).toEqual([]);
    expect(await folder.problems(switched("$(inputs.untrained)"), { profiles: ["published"] })).toEqual([]);
  });

  it("is a mistake where it is trimmed in so many words", async () => {
    expect(
      await folder.problems(switched("[{ arch: [nano, micro] }]"), { profiles: ["published"] }),
    ).toContain("p.yaml:unused: trimming leaves no step of `train`");
  });
});

describe("what else a point of the grid decides", () => {
  it("the seed of a node, which may be an axis", async () => {
    const grid = await folder.grid({
      "p.yaml": `
name: seeds
seed: 1
axes: { seed: [11, 12], gamma: [0, 10] }
nodes:
  a: { type: test.seeded }
  b: { type: test.seeded, seed: 5, in: { text: a.text } }
  c: { type: test.seeded, seed: $(seed), in: { text: b.text } }
  d: { type: test.seeded, in: { text: c.text }, with: { method: ran, alpha: $(gamma) } }
`,
    });
    expect(grid.steps.map(({ id, seed }) => [id, seed])).toEqual([
      ["a", 1],
      ["b", 5],
      ["c[seed=11]", 11],
      ["c[seed=12]", 12],
      ["d[seed=11,gamma=0]", 1],
      ["d[seed=11,gamma=10]", 1],
      ["d[seed=12,gamma=0]", 1],
      ["d[seed=12,gamma=10]", 1],
    ]);
  });

  it("parameters merged from a list, later ones stronger, some of them by an axis", async () => {
    const grid = await folder.grid({
      "p.yaml": `
name: merged
inputs: { common: { epochs: 3, epsilon: 30% } }
axes: { head: { probe: { method: probe }, ran: { method: ran, alpha: 0.5, epochs: 9 } }, gamma: [0, 10] }
nodes:
  a: { type: test.seeded, with: [$(inputs.common), { epochs: 4, epsilon: 8/255 }, $(head), { epsilon: 1/255 }] }
  b: { type: test.seeded, with: [$(head), { epochs: 5 }, ~] }
  c: { type: test.edit, in: { text: a.text, other: b.text }, with: [{ share: 3 }, { share: $(gamma) }] }
`,
    });
    expect(grid.steps.slice(0, 4).map(({ id, params }) => [id, params])).toEqual([
      ["a[head=probe]", { method: "probe", epochs: 4, epsilon: 1 / 255 }],
      ["a[head=ran]", { method: "ran", alpha: 0.5, epochs: 9, epsilon: 1 / 255 }],
      ["b[head=probe]", { method: "probe", epochs: 5, epsilon: 8 / 255 }],
      ["b[head=ran]", { method: "ran", alpha: 0.5, epochs: 5, epsilon: 8 / 255 }],
    ]);
    expect(grid.steps.slice(4).map(({ id, params }) => [id, params["share"]])).toEqual([
      ["c[head=probe,gamma=0]", 0],
      ["c[head=probe,gamma=10]", 10],
      ["c[head=ran,gamma=0]", 0],
      ["c[head=ran,gamma=10]", 10],
    ]);
  });

  it("which steps are there, by points with lists of labels", async () => {
    expect(await points("{ exclude: [{ a: [a0, a2], c: [0, 1] }] }", "a c")).toEqual(["a1 0", "a1 1"]);
    expect(await points("{}", "a c", ", only: [{ a: [a0, a1], c: 1 }], except: [{ a: a1 }]")).toEqual([
      "a0 1",
    ]);
    expect(await points("{ include: [{ a: [a8, a9], c: [1, 3] }] }", "a c")).toEqual([
      "a0 0",
      "a0 1",
      "a1 0",
      "a1 1",
      "a2 0",
      "a2 1",
      "a8 1",
      "a8 3",
      "a9 1",
      "a9 3",
    ]);
  });

  it("what is gathered: over some axes, at a pin, and what trimming left", async () => {
    const grid = await folder.grid(
      pipeline(
        "{ exclude: [{ a: a1, c: 1 }] }",
        `  train: { type: test.write, with: { text: $(a) $(c) $(head.method) } }
  some: { type: test.concat, in: { texts: { collect: train, over: [a, c], at: { head: ran } } } }
  each: { type: test.concat, in: { texts: { collect: train, over: [c] } } }
`,
      ),
    );
    const ran = { head: "ran", "head.method": "ran" };
    expect(readsOf(grid, "some", "texts")).toEqual([
      ["train[a=a0,c=0,head=ran]", { a: "a0", c: "0", ...ran }],
      ["train[a=a0,c=1,head=ran]", { a: "a0", c: "1", ...ran }],
      ["train[a=a1,c=0,head=ran]", { a: "a1", c: "0", ...ran }],
      ["train[a=a2,c=0,head=ran]", { a: "a2", c: "0", ...ran }],
      ["train[a=a2,c=1,head=ran]", { a: "a2", c: "1", ...ran }],
    ]);
    expect(readsOf(grid, "each[a=a1,head=probe]", "texts")).toEqual([
      ["train[a=a1,c=0,head=probe]", { c: "0" }],
    ]);
  });

  it("trims no step by an input that it does not read", async () => {
    const nodes = (trimmed: string): Record<string, string> => ({
      "p.yaml": `
name: unread
axes: { share: [0, 50, 200] }
nodes:
  clean: { type: test.write, with: { text: clean } }
  noisy: { type: test.write, with: { text: $(share.label) }, except: [{ share: ${trimmed} }] }
  mix: { type: test.edit, in: { text: clean, other: noisy }, with: { share: $(share) } }
  after: { type: test.seeded, in: { text: mix } }
`,
    });
    // A share of 200 would be a mistake, at a point that is not there.
    const grid = await folder.grid(nodes("[0, 200]"));
    expect(stepIds(grid)).toEqual([
      "clean",
      "noisy[share=50]",
      "mix[share=0]",
      "mix[share=50]",
      "after[share=0]",
      "after[share=50]",
    ]);
    expect(readsOf(grid, "mix[share=50]", "other")).toBe("noisy[share=50]");
    const [unread] = grid.steps.filter(({ id }) => id === "mix[share=0]");
    expect(unread).toMatchObject({ reads: ["text"], inputs: { text: { kind: "one" } } });
    expect(unread?.inputs).not.toHaveProperty("other");
    expect(stepIds(await folder.grid(nodes("[50, 200]"))).filter((id) => id.startsWith("mix"))).toEqual([
      "mix[share=0]",
    ]);
    expect(await folder.problems(nodes("[0]"))).toEqual([expect.stringContaining("param-value")]);
  });
});
