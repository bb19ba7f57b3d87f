import { execFileSync } from "node:child_process";
import { symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { createPipelineFolder, readsOf, stepIds } from "../rig/pipeline-folder.ts";
import type { PipelineFolder } from "../rig/pipeline-folder.ts";

let folder: PipelineFolder;
const folders: PipelineFolder[] = [];
beforeEach(async () => {
  folder = await createPipelineFolder();
  folders.push(folder);
});
afterAll(() => Promise.all(folders.map((each) => each.remove())));

/** A pipeline that writes an input's value. */
const writes = (head: string): string =>
  `${head}\nnodes:\n  hello: { type: test.write, with: { text: $(inputs.word) } }\n`;

describe("fragments in a list", () => {
  it("bring their nodes, inputs and axes, of which the importer's win value by value", async () => {
    const grid = await folder.grid({
      "fragment.yaml": `
seed: 3
inputs: { word: { first: one, second: two }, times: 2 }
axes: { gamma: [0, 10], head: [probe, ran] }
nodes:
  hello: { type: test.write, with: { text: $(inputs.word.first) $(inputs.word.second) $(gamma) $(head), times: $(inputs.times) } }
`,
      "p.yaml": `
name: importer
imports: [fragment.yaml]
inputs: { word: { second: 2 } }
axes: { gamma: [20, 30] }
nodes:
  next: { type: test.seeded, in: { text: { from: hello, at: { head: ran } } } }
`,
    });
    expect(grid.pipeline).toBe("importer");
    expect(grid.steps.map(({ id, params, seed }) => [id, params["text"], seed])).toEqual([
      ["hello[gamma=20,head=probe]", "one 2 20 probe", 3],
      ["hello[gamma=20,head=ran]", "one 2 20 ran", 3],
      ["hello[gamma=30,head=probe]", "one 2 30 probe", 3],
      ["hello[gamma=30,head=ran]", "one 2 30 ran", 3],
      ["next[gamma=20]", undefined, 3],
      ["next[gamma=30]", undefined, 3],
    ]);
    expect(readsOf(grid, "next[gamma=30]", "text")).toBe("hello[gamma=30,head=ran]");
  });

  it("count once through whatever files they come, and may import each other", async () => {
    await folder.write({ "shared.yaml": writes("imports: [left.yaml]\ninputs: { word: shared }") });
    await symlink("shared.yaml", join(folder.path, "link.yaml"));
    const grid = await folder.grid({
      "left.yaml": "imports: [./shared.yaml]\ninputs: { word: left }\n",
      "right.yaml": "imports: [shared.yaml, link.yaml, ../p.yaml]\n".replace("../", "./"),
      "p.yaml": "name: diamond\nimports: [left.yaml, right.yaml, right.yaml]\n",
    });
    expect(grid.steps.map(({ id, params }) => [id, params["text"]])).toEqual([["hello", "left"]]);
  });

  it("add up their rules of the grid", async () => {
    const grid = await folder.grid({
      "a.yaml": "axes: { gamma: [0, 10, 20] }\ngrid: { exclude: [{ gamma: 0 }] }\n",
      "p.yaml": `
name: rules
imports: [a.yaml]
grid: { exclude: [{ gamma: 10 }], include: [{ gamma: 30 }] }
nodes: { hello: { type: test.write, with: { text: $(gamma.label) } } }
`,
    });
    expect(stepIds(grid)).toEqual(["hello[gamma=20]", "hello[gamma=30]"]);
  });

  it("resolve paths from their own folder, at any depth", async () => {
    const grid = await folder.grid({
      "deep/er/data.yaml":
        "inputs: { root: data }\nnodes: { files: { type: test.file, with: { root: $(inputs.root)/x } } }\n",
      "deep/middle.yaml": "imports: [er/data.yaml]\n",
      "p.yaml": "name: paths\nimports: [deep/middle.yaml]\n",
    });
    expect(grid.steps[0]?.params["root"]).toBe(join(folder.path, "deep/er/data/x"));
  });

  it("are told to those who keep what a run was made of, each once", async () => {
    const loaded = await folder.load({
      "a.yaml": "imports: [b.yaml]\n",
      "b.yaml": writes("inputs: { word: hi }"),
      "p.yaml": "name: files\nimports: [b.yaml, a.yaml, { n: b.yaml }]\n",
    });
    const files = loaded.ok ? loaded.value.files : [];
    expect(files.map(({ path }) => path)).toEqual(["p.yaml", "b.yaml", "a.yaml"]);
    expect(files[2]?.text).toBe("imports: [b.yaml]\n");
  });

  it("are found by an absolute path and from the home folder", async () => {
    await folder.write({ "data.yaml": writes("inputs: { word: hi }") });
    const files = { "p.yaml": `name: absolute\nimports: ["${join(folder.path, "data.yaml")}"]\n` };
    expect(stepIds(await folder.grid(files))).toEqual(["hello"]);
    const home = { "p.yaml": "name: home\nimports: [~/ranflow-no-such-file.yaml]\n" };
    expect(await folder.problems(home)).toEqual([
      `p.yaml:file-not-found: there is no file \`${join(homedir(), "ranflow-no-such-file.yaml")}\``,
    ]);
  });

  it("show their mistakes at their own place, with the importer's", async () => {
    const problems = await folder.problems({
      "sub/fragment.yaml": "nodes:\n  hello: { type: test.wriet }\n",
      "p.yaml":
        "name: wrong\nimports: [sub/fragment.yaml]\nnodes:\n  a: { type: test.write, with: { tmes: 2 } }\n",
    });
    expect(problems.toSorted()).toEqual([
      "p.yaml:unknown-param: test.write has no parameter `tmes`",
      'sub/fragment.yaml:unknown-node-type: there is no node type "test.wriet"',
    ]);
  });

  it("that are broken do not make others look wrong", async () => {
    const problems = await folder.problems({
      "fragment.yaml": "inputs: { a: 1 }\nnodes:\n  hello: { type: test.write\n",
      "p.yaml":
        "name: wrong\nimports: [fragment.yaml, nowhere.yaml]\nnodes:\n  a: { type: test.edit, in: { text: hello, other: gone }, with: { sare: 1 } }\n",
    });
    expect(problems.map((problem) => problem.split(":").slice(0, 2).join(":"))).toEqual([
      "fragment.yaml:yaml-syntax",
      "p.yaml:file-not-found",
      "p.yaml:unknown-param",
    ]);
  });
});

describe("optional nodes", () => {
  const fragment = `
inputs: { from: hello, unused: 1 }
axes: { gamma: [0, 10] }
nodes:
  hello: { type: test.write, optional: true, with: { text: one } }
  again: { type: test.seeded, optional: true, in: { text: hello } }
  other: { type: test.write, optional: true, with: { text: "at $(gamma)" } }
`;

  it("are there where something reads them, directly or through others, and with them only their axes", async () => {
    const files = (node: string): Record<string, string> => ({
      "fragment.yaml": fragment,
      "p.yaml": `name: p\nimports: [fragment.yaml]\nnodes: { next: ${node} }\n`,
    });
    expect(stepIds(await folder.grid(files("{ type: test.seeded, in: { text: again } }")))).toEqual([
      "hello",
      "again",
      "next",
    ]);
    expect(stepIds(await folder.grid(files("{ type: test.seeded, in: { text: other } }")))).toEqual([
      "other[gamma=0]",
      "other[gamma=10]",
      "next[gamma=0]",
      "next[gamma=10]",
    ]);
    const chosen = files("{ type: test.seeded, in: { text: $(inputs.from) } }");
    expect(stepIds(await folder.grid(chosen))).toEqual(["hello", "next"]);
    expect(stepIds(await folder.grid(chosen, { sets: ["inputs.from=again"] }))).toHaveLength(3);
  });

  it("stay checked where they are left out, but for what they lack", async () => {
    const next = "\nnodes: { next: { type: test.write, with: { text: x } } }\n";
    const check = (node: string): Promise<readonly string[]> =>
      folder.problems({
        "fragment.yaml": `nodes: { hello: ${node} }\n`,
        "p.yaml": `name: p\nimports: [fragment.yaml]${next}`,
      });
    expect(await check("{ type: test.seeded, optional: true }")).toEqual([]);
    expect((await check("{ type: test.write, optional: true, with: { texd: x } }")).join()).toContain(
      "fragment.yaml:unknown-param",
    );
    expect((await check("{ type: test.write, optional: maybe, with: { text: x } }")).join()).toContain(
      "fragment.yaml:wrong-type",
    );
  });

  it("make no pipeline by themselves", async () => {
    expect(await folder.problems({ "p.yaml": `name: p${fragment}` })).toEqual([
      "p.yaml:missing-field: all nodes of the pipeline are optional, and nothing reads them",
    ]);
  });
});

describe("pipelines under a namespace", () => {
  const table = `
name: table
seed: 7
inputs: { epochs: 3 }
axes: { gamma: [0, 10], head: { probe: { method: probe, lr: 1 }, ran: { method: ran, lr: 2 } } }
grid: { exclude: [{ gamma: 0, head: ran }] }
profiles: { paper: { inputs: { epochs: 30 } } }
nodes:
  noisy: { type: test.write, with: { text: $(gamma.label) } }
  train: { type: test.seeded, in: { text: noisy }, with: { method: $(head.method), epochs: $(inputs.epochs) } }
  rows: { type: test.concat, in: { texts: { collect: train.text } } }
`;

  it("are called by it outside, and by their own names inside", async () => {
    const grid = await folder.grid({
      "table.yaml": table,
      "p.yaml": `
name: paper
imports: { t10: table.yaml }
axes: { gamma: [x, y] }
nodes:
  all: { type: test.concat, in: { texts: { collect: t10/train.text, over: [t10/head] } } }
  pinned: { type: test.seeded, in: { text: { from: t10/train.text, at: { t10/gamma: 10, t10/head: ran } } } }
  both: { type: test.write, with: { text: "$(gamma) $(t10/gamma) $(t10/head.lr)" }, only: [{ gamma: x, t10/gamma: 10 }] }
`,
    });
    expect(stepIds(grid).filter((id) => id.startsWith("t10/train"))).toEqual([
      "t10/train[t10/gamma=0,t10/head=probe]",
      "t10/train[t10/gamma=10,t10/head=probe]",
      "t10/train[t10/gamma=10,t10/head=ran]",
    ]);
    expect(grid.axes).toEqual({ "t10/gamma": ["0", "10"], "t10/head": ["probe", "ran"], gamma: ["x", "y"] });
    // Inside, coordinates read as they do where the table is run alone: so it has the same keys.
    const inside = readsOf(grid, "t10/rows", "texts") as [string, object][];
    expect(inside.map(([, at]) => at)).toContainEqual({
      gamma: "10",
      head: "ran",
      "head.method": "ran",
      "head.lr": 2,
    });
    expect(readsOf(grid, "all[t10/gamma=0]", "texts")).toEqual([
      [
        "t10/train[t10/gamma=0,t10/head=probe]",
        { "t10/head": "probe", "t10/head.method": "probe", "t10/head.lr": 1 },
      ],
    ]);
    expect(readsOf(grid, "pinned", "text")).toBe("t10/train[t10/gamma=10,t10/head=ran]");
    expect(
      grid.steps.filter(({ node }) => node === "both").map(({ id, params }) => [id, params["text"]]),
    ).toEqual([
      ["both[t10/gamma=10,t10/head=probe,gamma=x]", "x 10 1"],
      ["both[t10/gamma=10,t10/head=ran,gamma=x]", "x 10 2"],
    ]);
  });

  it("have the steps, parameters, seeds and coordinates that they have alone", async () => {
    await folder.write({ "table.yaml": table });
    const alone = await folder.grid({ "p.yaml": table });
    const under = await folder.grid({
      "p.yaml": "name: paper\nseed: 1\nimports: { a: { file: middle.yaml } }\n",
      "middle.yaml": "seed: 2\nimports: [{ b: table.yaml }]\n",
    });
    const strip = (text: string): string => text.replaceAll("a/b/", "");
    const plain = ({ steps }: typeof alone): unknown =>
      JSON.parse(strip(JSON.stringify(steps.map(({ nodeType: _, ...step }) => step))));
    expect(plain(under)).toEqual(plain(alone));
    expect(stepIds(under)).toContain("a/b/train[a/b/gamma=10,a/b/head=ran]");
  });

  it("take inputs from their importer, from profiles and from --set, the later the stronger", async () => {
    const files = {
      "table.yaml": table,
      "p.yaml": `
name: paper
imports: { a: table.yaml, b: { file: table.yaml, inputs: { epochs: $(inputs.few) } } }
inputs: { few: 5 }
profiles: { paper: { inputs: { few: 50 } }, mine: { inputs: { few: 6 } } }
`,
    };
    const epochs = async (...settings: Parameters<PipelineFolder["grid"]>[1][]): Promise<unknown[]> => {
      const { steps } = await folder.grid(files, settings[0]);
      return ["a", "b"].map((name) => steps.find(({ node }) => node === `${name}/train`)?.params["epochs"]);
    };
    expect(await epochs()).toEqual([3, 5]);
    expect(await epochs({ profiles: ["paper"] })).toEqual([30, 50]);
    expect(await epochs({ profiles: ["a/paper"] })).toEqual([30, 5]);
    expect(await epochs({ profiles: ["paper", "mine"] })).toEqual([30, 6]);
    expect(await epochs({ sets: ["a/inputs.epochs=8", "inputs.few=9"] })).toEqual([8, 9]);
    expect(await epochs({ profiles: ["paper"], sets: ["a/inputs.epochs=8", "b/inputs.epochs=7"] })).toEqual([
      8, 7,
    ]);
  });

  it("take their inputs from one map of the importer's", async () => {
    const files = (inputs: string): Record<string, string> => ({
      "table.yaml": table,
      "p.yaml": `name: paper\nimports: { a: { file: table.yaml, inputs: ${inputs} } }\ninputs: { small: { epochs: 2 }, wrong: { epohcs: 2 } }\n`,
    });
    const { steps } = await folder.grid(files("$(inputs.small)"));
    expect(steps.find(({ node }) => node === "a/train")?.params["epochs"]).toBe(2);
    expect(await folder.problems(files("$(inputs.wrong)"))).toContain(
      "p.yaml:unknown-input: there is no input `epohcs` to replace",
    );
    expect(await folder.problems(files("[1]"))).toContain("p.yaml:wrong-type: `inputs` is a list");
    expect(await folder.problems(files("$(inputs.small.epochs)"))).toContain(
      "p.yaml:wrong-type: `inputs` is the number 2",
    );
    expect(await folder.problems(files("$(gamma)"))).toContain(
      "p.yaml:interpolation-type: an input cannot mention an axis",
    );
  });

  it("give a text from the importer as it is, however it looks", async () => {
    const grid = await folder.grid({
      "other.yaml": writes("inputs: { word: hi }"),
      "p.yaml":
        'name: literal\nimports: { o: { file: other.yaml, inputs: { word: "$$(inputs.word) $(inputs.a)" } } }\ninputs: { a: b }\n',
    });
    expect(grid.steps[0]?.params["text"]).toBe("$(inputs.word) b");
  });

  it("can be gathered into one table, their axes under one name", async () => {
    const files = (as: string): Record<string, string> => ({
      "table.yaml": table,
      "p.yaml": `
name: paper
imports: { a: table.yaml, b: table.yaml }
nodes:
  all:
    type: test.concat
    in:
      texts:
        - { collect: a/train.text, at: { a/head: probe }, as: { a/gamma: gamma, a/head: head } }
        - { collect: b/train.text, at: { b/head: probe }, as: { ${as} } }
`,
    });
    const grid = await folder.grid(files("b/gamma: gamma, b/head: head"));
    const head = { head: "probe", "head.method": "probe", "head.lr": 1 };
    expect(readsOf(grid, "all", "texts")).toEqual([
      ["a/train[a/gamma=0,a/head=probe]", { gamma: "0", ...head }],
      ["a/train[a/gamma=10,a/head=probe]", { gamma: "10", ...head }],
      ["b/train[b/gamma=0,b/head=probe]", { gamma: "0", ...head }],
      ["b/train[b/gamma=10,b/head=probe]", { gamma: "10", ...head }],
    ]);
    expect(await folder.problems(files("b/gamma: head, b/head: head"))).toEqual([
      "p.yaml:invalid-name: two axes that are gathered here would be called `head`",
    ]);
    expect(await folder.problems(files("a/gamma: gamma"))).toEqual([
      "p.yaml:unknown-axis: `b/train` has no axis `a/gamma`",
    ]);
    expect(await folder.problems(files("b/gamma: inputs.x"))).toEqual([
      "p.yaml:invalid-name: `inputs.x` cannot be the name of an axis",
    ]);
  });

  it("may have their axes zipped with each other, and be trimmed from outside", async () => {
    const grid = await folder.grid({
      "table.yaml": table,
      "p.yaml": `
name: paper
imports: { a: table.yaml, b: table.yaml }
grid: { zip: [[a/gamma, b/gamma]], exclude: [{ a/head: ran }], include: [{ a/head: ran, a/gamma: 0 }] }
nodes:
  both: { type: test.write, with: { text: "$(a/gamma) $(b/gamma)" } }
`,
    });
    expect(grid.steps.filter(({ node }) => node === "both").map(({ params }) => params["text"])).toEqual([
      "0 0",
      "10 10",
    ]);
    expect(stepIds(grid).filter((id) => id.startsWith("a/train"))).toEqual([
      "a/train[a/gamma=0,a/head=probe]",
      "a/train[a/gamma=0,a/head=ran]",
      "a/train[a/gamma=10,a/head=probe]",
    ]);
    expect(stepIds(grid).filter((id) => id.startsWith("b/train"))).toHaveLength(3);
  });

  it.each([
    [
      "itself",
      { "p.yaml": "name: p\nimports: { a: p.yaml }\n" },
      "p.yaml:cycle: `p.yaml` imports `p.yaml`, which is a cycle",
    ],
    [
      "each other",
      { "p.yaml": "name: p\nimports: { a: q.yaml }\n", "q.yaml": "imports: { b: ./p.yaml }\n" },
      "q.yaml:cycle: `p.yaml` imports `q.yaml` imports `p.yaml`, which is a cycle",
    ],
    [
      "each other through a fragment",
      { "p.yaml": "name: p\nimports: [f.yaml]\n", "f.yaml": "imports: { a: p.yaml }\n" },
      "f.yaml:cycle: `p.yaml` imports `p.yaml`, which is a cycle",
    ],
  ])("cannot hold %s", async (_, files, problem) => {
    expect(await folder.problems(files)).toEqual([problem]);
  });

  it("are nothing without nodes, and cannot see their importer", async () => {
    expect(
      await folder.problems({
        "empty.yaml": "inputs: { a: 1 }\n",
        "sees.yaml": "nodes: { a: { type: test.write, with: { text: $(inputs.word) } } }\n",
        "p.yaml": "name: p\nimports: { e: empty.yaml, s: sees.yaml }\ninputs: { word: hi }\n",
      }),
    ).toEqual([
      "empty.yaml:missing-field: the pipeline has no `nodes`",
      "sees.yaml:unknown-input: there is no input `word`",
    ]);
  });
});

describe("imports that mean no good", () => {
  it.each([
    ["a folder", "'../..'", "file-unreadable"],
    ["a device", "/dev/zero", "file-unreadable"],
    ["a path with a null byte", '"a\\0b"', "file-unreadable"],
    ["a name too long for a file system", `"${"x".repeat(5000)}"`, "file-unreadable"],
    ["a file below a file", "p.yaml/x", "file-not-found"],
    ["an interpolated path", '"$(inputs.a).yaml"', "interpolation-type"],
    ["a number", "7", "wrong-type"],
    ["nothing", "~", "wrong-type"],
    ["a list", "[p.yaml]", "wrong-type"],
  ])("are refused at their entry: %s", async (_, path, code) => {
    for (const imports of [`[${path}]`, `{ a: ${path} }`]) {
      const loaded = await folder.load({ "p.yaml": `name: p\nimports: ${imports}\nnodes: {}\n` });
      if (loaded.ok) throw new Error("it was loaded");
      expect(loaded.error.map((error) => [error.code, error.location?.file.path])).toEqual([
        [code, "p.yaml"],
      ]);
    }
  });

  it("are refused where they are a pipe, without waiting for a writer", async () => {
    execFileSync("mkfifo", [join(folder.path, "pipe.yaml")]);
    expect(await folder.problems({ "p.yaml": "name: p\nimports: [pipe.yaml]\n" })).toEqual([
      "p.yaml:file-unreadable: `pipe.yaml` is no file",
    ]);
  });

  it("are refused where they are no text, too large, or too large together", async () => {
    await writeFile(join(folder.path, "binary.yaml"), Buffer.from([0x89, 0x50, 0xff, 0xfe, 0]));
    await folder.write({ "large.yaml": `# ${"x".repeat(1_000_000)}\n` });
    expect(await folder.problems({ "p.yaml": "name: p\nimports: [binary.yaml, large.yaml]\n" })).toEqual([
      "p.yaml:file-unreadable: `binary.yaml` is not UTF-8 text",
      "p.yaml:file-too-large: `large.yaml` is larger than 1,000,000 bytes",
    ]);
    for (let i = 0; i < 3; i++)
      await folder.write({ [`part${i}.yaml`]: `# ${"x".repeat(900)}\ninputs: {}\n` });
    expect(
      await folder.problems(
        { "p.yaml": "name: p\nimports: [part0.yaml, part1.yaml, part2.yaml]\n" },
        { limits: { maxTotalBytes: 2_000 } },
      ),
    ).toEqual([
      "p.yaml:file-too-large: with `part2.yaml` the files of this pipeline are larger than 2,000 bytes",
    ]);
  });

  it("share one limit of what aliases stand for", async () => {
    const half = `inputs: { a: &a [${"1, ".repeat(300)}1], b: [${"*a, ".repeat(200)}1] }\n`;
    const problems = await folder.problems({
      "one.yaml": half,
      "two.yaml": half,
      "p.yaml": "name: p\nimports: [one.yaml, two.yaml]\n",
    });
    expect(problems).toEqual([
      "two.yaml:too-many-aliases: written out, the aliases stand for more than 100,000 values",
    ]);
  });

  it("may be a thousand", async () => {
    const fragments = Object.fromEntries(
      Array.from({ length: 1_000 }, (_, i) => [
        `f/${i}.yaml`,
        `${i < 999 ? `imports: [${i + 1}.yaml]\n` : ""}nodes: { n${i}: { type: test.write, with: { text: "${i}" } } }\n`,
      ]),
    );
    const grid = await folder.grid({ ...fragments, "p.yaml": "name: many\nimports: [f/0.yaml]\n" });
    expect(grid.steps).toHaveLength(1_000);
    const list = Array.from({ length: 1_000 }, (_, i) => `f/${i}.yaml`).join(", ");
    expect((await folder.grid({ "p.yaml": `name: many\nimports: [${list}]\n` })).steps).toHaveLength(1_000);
  });

  it("cannot bring names that lead out of a folder", async () => {
    const problems = await folder.problems({
      "a.yaml": "nodes: { ../../x: { type: test.write } }\n",
      "p.yaml": "name: p\nimports: [a.yaml, { ../b: a.yaml, a/b: a.yaml, .: a.yaml, '': a.yaml }]\n",
    });
    expect(problems.filter((problem) => !problem.includes("invalid-name"))).toEqual([]);
    expect(problems).toHaveLength(5);
  });
});

describe("a profile", () => {
  const files = {
    "p.yaml": `
name: profiles
seed: 1
inputs: { train: { epochs: 3, share: 1 }, open: {} }
axes: { gamma: [0, 10] }
profiles:
  paper: { inputs: { train: { epochs: 30 } }, axes: { gamma: [0, 5, 10] }, seed: 9 }
  quick: { inputs: { train: { epochs: 1 }, open: { any: thing } } }
  empty:
nodes:
  train: { type: test.seeded, with: { epochs: $(inputs.train.epochs) } }
  mix: { type: test.edit, in: { text: train.text, other: train.text }, with: { share: $(gamma) } }
`,
  };

  it("replaces inputs value by value, axes and the seed; later ones win, and --set over all", async () => {
    const shape = async (settings: Parameters<PipelineFolder["grid"]>[1]): Promise<unknown[]> => {
      const { steps } = await folder.grid(files, settings);
      return [steps[0]?.params["epochs"], steps[0]?.seed, steps.length - 1];
    };
    expect(await shape({})).toEqual([3, 1, 2]);
    expect(await shape({ profiles: ["empty"] })).toEqual([3, 1, 2]);
    expect(await shape({ profiles: ["paper"] })).toEqual([30, 9, 3]);
    expect(await shape({ profiles: ["paper", "quick"] })).toEqual([1, 9, 3]);
    expect(await shape({ profiles: ["quick", "paper"] })).toEqual([30, 9, 3]);
    expect(await shape({ profiles: ["paper"], sets: ["inputs.train.epochs=4"] })).toEqual([4, 9, 3]);
  });

  it("may take labels away that rules go on naming, but no label that never was", async () => {
    const labels = {
      "fragment.yaml": "axes: { head: { probe: 1, mlp: 2, ran: 3 }, gamma: [0, 5, 10] }\n",
      "p.yaml": `
name: p
imports: [fragment.yaml]
axes: { head: { probe: 1, ran: 3 } }
grid: { exclude: [{ head: mlp }, { gamma: [0, 5], head: ran }] }
profiles: { quick: { axes: { gamma: [0, 20] } } }
nodes:
  n: { type: test.write, with: { text: $(gamma) $(head) }, except: [{ gamma: [5, 10], head: probe }] }
`,
    };
    expect(stepIds(await folder.grid(labels, { profiles: ["quick"] }))).toEqual([
      "n[head=probe,gamma=0]",
      "n[head=probe,gamma=20]",
      "n[head=ran,gamma=20]",
    ]);
    const wrong = { ...labels, "p.yaml": labels["p.yaml"].replace("head: mlp", "head: mpl") };
    expect(await folder.problems(wrong)).toEqual(["p.yaml:unknown-label: axis `head` has no label `mpl`"]);
  });

  it("comes from fragments, where the importer's says more", async () => {
    const grid = await folder.grid(
      {
        "data.yaml": writes(
          "inputs: { word: a, size: 1 }\nprofiles: { paper: { inputs: { word: b, size: 2 } } }",
        ),
        "p.yaml": "name: p\nimports: [data.yaml]\nprofiles: { paper: { inputs: { word: c } } }\n",
      },
      { profiles: ["paper"] },
    );
    expect(grid.steps[0]?.params["text"]).toBe("c");
  });

  it("resolves its paths from its own file", async () => {
    const grid = await folder.grid(
      {
        "sub/data.yaml":
          "inputs: { root: here }\nprofiles: { paper: { inputs: { root: there } } }\nnodes: { files: { type: test.file, with: { root: $(inputs.root) } } }\n",
        "p.yaml": "name: p\nimports: [sub/data.yaml]\n",
      },
      { profiles: ["paper"] },
    );
    expect(grid.steps[0]?.params["root"]).toBe(join(folder.path, "sub/there"));
  });
});
