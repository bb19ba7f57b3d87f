import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { digestBytes } from "../../cache/hash.ts";
import { createWorkspace, executedSteps } from "../rig/cli.ts";
import type { CliResult, Workspace } from "../rig/cli.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(() => workspace.remove());

const pipeline = `
name: p
description: What a lineage is tested with
inputs: { between: "+" }
axes: { t: [a, b] }
nodes:
  files: { type: run.files, with: { root: data, names: [one.txt, two.txt] } }
  w: { type: run.write, with: { text: $(t) } }
  j: { type: run.join, in: { texts: [w, files] }, with: { between: $(inputs.between) } }
  all: { type: run.join, in: { texts: { collect: j.text } } }
  r: { type: run.report, in: { text: all.text } }
`;

async function prepare(): Promise<void> {
  await mkdir(join(workspace.folder, "data"));
  await writeFile(join(workspace.folder, "data", "one.txt"), "1");
  await writeFile(join(workspace.folder, "data", "two.txt"), "2");
  await workspace.write("p.yaml", pipeline);
}

async function ok(...args: readonly string[]): Promise<string> {
  const result = await workspace.run(args);
  expect(result.exitCode, `${args.join(" ")}: ${result.stderr}${result.stdout}`).toBe(0);
  return result.stdout;
}

async function refused(...args: readonly string[]): Promise<CliResult["stderr"]> {
  const result = await workspace.run(args);
  expect(result.exitCode, result.stdout).toBe(2);
  return result.stderr;
}

const runIds = (): readonly string[] => readdirSync(join(workspace.store, "runs")).toSorted();

/** All files below a folder, by their paths in it. */
function filesIn(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return new Map(names.map((path) => [path.slice(folder.length + 1), readFileSync(path, "utf8")]));
}

describe("ranflow diff", () => {
  it("names what changed between two runs, down to the file or field that caused it", async () => {
    await prepare();
    await ok("run", "p.yaml");
    await ok("tag", "first");
    await writeFile(join(workspace.folder, "data", "two.txt"), "22");
    await ok("run", "p.yaml", "--set", 'inputs.between="-"');
    const [before = "", after = ""] = runIds();
    const lines = (await ok("diff")).replaceAll(/sha256:[0-9a-f]{8}\.\./g, "#").split("\n");
    expect(lines.slice(0, 8)).toEqual([
      `${before} -> ${after}`,
      "7 steps: 5 changed, 2 with equal keys",
      "",
      "files",
      "  external.two.txt # -> #",
      "",
      "j: 2 of 2 steps",
      '  params.between "+" -> "-"',
    ]);
    expect(lines.slice(-4)).toEqual([
      "r",
      "  inputs.text, because of",
      '    j: params.between "+" -> "-"',
      "    files: external.two.txt # -> #",
    ]);
    const named = JSON.parse(await ok("diff", "first", after, "--json")) as Record<string, unknown>;
    expect(named).toMatchObject({
      before: { label: `first (${before})`, run: before, pipeline: "p", whole: true, steps: 7 },
      after: { run: after },
      counts: { same: 2, changed: 5, lost: 0, renamed: 0, "only-before": 0, "only-after": 0 },
    });
    expect(await ok("diff", "latest", after)).toContain("all 7 steps have equal keys");
    expect(await ok("replay", "first", "--ui", "plain")).toContain("p succeeded");
    expect(await ok("log", "files", "--run", "first")).toContain("attempt 1 (run)");
    expect(await refused("diff", "nothing")).toMatch(/there is no run nothing[^]*and the tags: first/);
  });

  it("answers for parts, other pipelines, killed runs and results that are gone", async () => {
    await prepare();
    await ok("run", "p.yaml", "w[t=a]");
    await workspace.write(
      "q.yaml",
      "name: q\nnodes:\n  w: { type: run.write, with: { text: q } }\n  g: { type: run.gated, in: { after: w }, with: { name: gate } }\n",
    );
    const going = workspace.start(["run", "q.yaml", "--ui", "json"]);
    await workspace.reached("gate");
    const [part = "", killed = ""] = runIds();
    const log = join(workspace.store, "runs", killed, "events.ndjson");
    while (!readFileSync(log, "utf8").includes("step-succeeded"))
      await new Promise((resolve) => setTimeout(resolve, 10));
    going.kill("SIGKILL");
    await going.result;
    const text = await ok("diff", part, killed);
    expect(text).toContain("of different pipelines, p and q: steps are compared by their ids");
    expect(text).toContain(`${part} was a run of a part of the pipeline, or did not come to its end`);
    expect(text).toContain("2 steps: 1 only in the first, 1 only in the second, none with an equal key");

    await ok("run", "p.yaml", "--set", "inputs.between=x");
    await ok("run", "p.yaml", "--set", "inputs.between=y");
    await ok("cache", "gc", "--days", "0");
    const [earlier = "", later = ""] = runIds().slice(-2);
    expect((await ok("diff", earlier, later)).split("\n").slice(0, 6)).toEqual([
      `${earlier} -> ${later}`,
      "7 steps: 4 changed, 3 with equal keys",
      "",
      "changed, and what they were made from was removed by gc (`ranflow tag` keeps a run's results):",
      "  j (2 steps): [t=a], [t=b]",
      "  all",
    ]);
  });
});

describe("ranflow trace", () => {
  it("goes from a table to the files it began with, from the store alone", async () => {
    await prepare();
    await ok("run", "p.yaml");
    await rm(join(workspace.folder, "p.yaml"));
    const table = join(workspace.store, "results", "p", "r", "table.md");
    const text = await ok("trace", table);
    const titles = text.split("\n").filter((line) => line.endsWith("@1"));
    expect(titles).toEqual([
      "r  run.report@1",
      "all  run.join@1",
      "j (2 results)  run.join@1",
      expect.stringMatching(/^(w \(2 results\)|files) {2}run\./),
      expect.stringMatching(/^(w \(2 results\)|files) {2}run\./),
    ]);
    expect(text).toContain(`2 files of letters under ${join(workspace.folder, "data")}: all there`);
    expect(text).toContain("  texts     from w (2: [t=a], [t=b]), files");

    await rm(join(workspace.folder, "data", "two.txt"));
    await writeFile(table, "edited");
    const edited = await workspace.run(["trace", table]);
    expect(edited.stdout).toContain("1 there, 1 gone or changed: two.txt");
    expect(edited.stderr).toContain("is not as ranflow wrote it");
  });

  it("takes steps, outputs, nodes, digests, copies of files, and cells", async () => {
    await prepare();
    await ok("run", "p.yaml");
    interface Traced {
      readonly artifact: { readonly digest: string };
      readonly roots: readonly string[];
      readonly results: readonly {
        readonly steps: readonly string[];
        readonly fingerprint: object;
        readonly data?: object;
      }[];
    }
    const json = async (...args: readonly string[]): Promise<Traced> =>
      JSON.parse(await ok("trace", ...args, "--json")) as Traced;
    const steps = ({ results }: Traced): readonly string[] =>
      results.map((result) => result.steps[0] ?? "").toSorted();

    const output = await json("j[t=a].text");
    expect(output.artifact.digest).toBe(digestBytes("a+12"));
    expect(steps(output)).toEqual(["files", "j[t=a]", "w[t=a]"]);
    expect(output.results.find((result) => result.steps[0] === "files")?.data).toMatchObject({
      dataset: "letters",
      list: { count: 2 },
      there: 2,
      missing: [],
    });
    expect(await json(digestBytes("a+12").slice(0, 20))).toMatchObject({ roots: output.roots });
    expect(await json(output.roots[0]?.slice(0, 12) ?? "")).toMatchObject({ roots: output.roots });
    expect((await json("j", "--depth", "0")).roots).toHaveLength(2);
    await writeFile(
      join(workspace.folder, "copy.md"),
      readFileSync(join(workspace.store, "results", "p", "r", "table.md")),
    );
    expect(steps(await json("copy.md"))).toHaveLength(7);
    expect(steps(await json("all", "--cell", "t=b"))).toEqual(["all", "files", "j[t=b]", "w[t=b]"]);
    expect(await refused("trace", "all", "--cell", "t=c")).toContain("t: a, b");
    expect(await refused("trace", "all", "--cell", "u=a")).toContain("there are: t");
    expect(await refused("trace", "nobody")).toContain("there is no step, result, digest or file nobody");
    await writeFile(join(workspace.folder, "other.md"), "not of ours");
    expect(await refused("trace", "other.md")).toContain("has the bytes of");
  });
});

describe("ranflow trace, of bytes that several steps made", () => {
  const twins = `
name: twins
axes: { t: [apple, avocado] }
nodes:
  w: { type: run.write, with: { text: $(t) } }
  f: { type: run.first-letter, in: { text: w } }
  j: { type: run.join, in: { texts: [{ from: f, at: { t: apple } }] } }
  r: { type: run.report, in: { text: f } }
`;

  it("names all of them, those beside an input too, and the one whose folder was asked about first", async () => {
    await workspace.write("p.yaml", twins);
    await ok("run", "p.yaml");
    await workspace.write("a.txt", "a");
    const both = JSON.parse(await ok("trace", "a.txt", "--json")) as {
      readonly steps: readonly string[];
      readonly roots: readonly string[];
    };
    expect(both.steps).toEqual(["f[t=apple]", "f[t=avocado]", "j"]);
    expect(both.roots).toHaveLength(3);
    expect(await ok("trace", "a.txt")).toContain("\nmade by 3 steps of it: f[t=apple], f[t=avocado], j\n");
    expect(await ok("trace", "j")).toContain("  texts     from f[t=apple] (the same bytes: f[t=avocado])\n");
    const folder = join(workspace.store, "results", "twins", "r[t=avocado]");
    expect(await ok("trace", folder)).toContain(
      "\nr[t=avocado] (the same work as r[t=apple])  run.report@1\n",
    );
  });

  it("says how many results of other runs have them", async () => {
    await workspace.write("p.yaml", twins);
    await ok("run", "p.yaml", "f[t=apple]");
    await ok("run", "p.yaml", "f[t=avocado]");
    const text = await ok("trace", digestBytes("a"));
    expect(text).toMatch(
      /^sha256:\S+, of twins, run \S+\n1 result of other runs has the same bytes\n\nf\[t=avocado\]/,
    );
  });
});

describe("ranflow export", () => {
  it("writes a run that can be read, and run again, without it and with no path of this machine", async () => {
    await prepare();
    const git = (...args: readonly string[]): string =>
      execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], {
        cwd: workspace.folder,
        encoding: "utf8",
      });
    git("init", "-q");
    git("add", "p.yaml");
    git("commit", "-qm", "a pipeline");
    await ok("run", "p.yaml", "--set", 'inputs.between="-"');
    await workspace.write("p.yaml", "name: another\n");
    const folder = join(workspace.folder, "out", "run");
    expect(await ok("export", "latest", folder)).toContain(
      "7 steps, 3 records of metrics, 1 table or figure, 1 file of the pipeline",
    );
    const files = filesIn(folder);
    expect([...files.keys()].toSorted()).toEqual([
      "README.md",
      expect.stringMatching(/^data\/run\.files-[0-9a-f]{12}\.csv$/),
      "environment.json",
      "fingerprints/all/all.json",
      "fingerprints/files/files.json",
      "fingerprints/j/j[t=a].json",
      "fingerprints/j/j[t=b].json",
      "fingerprints/r/r.json",
      "fingerprints/w/w[t=a].json",
      "fingerprints/w/w[t=b].json",
      "metrics.csv",
      "metrics.json",
      "pipeline/p.yaml",
      "results/r/figures/figure.svg",
      "results/r/table.md",
      "run.json",
      "steps.csv",
    ]);
    expect(files.get("pipeline/p.yaml")).toBe(pipeline);
    expect(files.get("metrics.csv")).toBe("step,t,texts,length\nj[t=a],a,2,4\nj[t=b],b,2,4\nall,,2,9\n");
    expect(JSON.parse(files.get("run.json") ?? "")).toMatchObject({
      run: runIds()[0],
      pipeline: "p",
      file: "pipeline/p.yaml",
      whole: true,
      invocation: { sets: ['inputs.between="-"'] },
      git: { commit: git("rev-parse", "HEAD").trim(), dirty: false },
    });
    expect(JSON.parse(files.get("environment.json") ?? "")).toMatchObject({
      run: { node: process.version, packages: { lmdb: expect.stringMatching(/^\d/) } },
      results: [{ run: runIds()[0], results: 7 }],
    });
    expect(JSON.parse(files.get("fingerprints/j/j[t=a].json") ?? "")).toMatchObject({
      step: "j[t=a]",
      fingerprint: { type: "run.join", params: { between: "-" } },
    });
    expect(files.get("README.md")).toContain(`ranflow run pipeline/p.yaml --set 'inputs.between="-"'`);
    for (const [name, text] of files) {
      expect(text.includes(workspace.folder), name).toBe(false);
      expect(text.includes(homedir() + "/"), name).toBe(false);
    }
    expect(readdirSync(join(workspace.folder, "out"))).toEqual(["run"]);
    expect(await refused("export", "latest", folder)).toContain("is not empty");

    await rename(join(workspace.folder, "data"), join(folder, "pipeline", "data"));
    const { events } = await workspace.events([
      "run",
      join(folder, "pipeline", "p.yaml"),
      "--set",
      'inputs.between="-"',
    ]);
    expect(executedSteps(events)).toEqual([]);
  });

  it("holds all files of the pipeline, those of plugins too, and says what is gone", async () => {
    const packages = fileURLToPath(new URL("../../node_modules", import.meta.url));
    await symlink(packages, join(workspace.folder, "node_modules"));
    await workspace.write("word.ts", 'export const word: string = "hello";\n');
    await workspace.write(
      "lab.ts",
      `import { writeFile } from "node:fs/promises";
import { z } from "zod";
import { defineNode, port } from "ranflow/sdk";
import { word } from "./word.ts";
export const say = defineNode({
  type: "lab.say", version: 1, summary: "Says a word", inputs: {},
  outputs: { text: port("text"), metrics: port("metrics") }, params: z.object({}),
  async run({ outputs }) {
    await writeFile(outputs.text.path, word);
    await writeFile(outputs.metrics.path, JSON.stringify({ length: word.length }));
  },
});
`,
    );
    await workspace.write(
      "inner.yaml",
      "name: inner\nnodes:\n  w: { type: run.write, with: { text: in } }\n",
    );
    await workspace.write(
      "p.yaml",
      "name: p\nplugins: [./lab.ts]\nimports: { i: inner.yaml }\nnodes:\n  say: { type: lab.say }\n  j: { type: run.join, in: { texts: [say.text, i/w] } }\n",
    );
    await ok("run", "p.yaml");
    expect(await ok("explain", "i/w")).toContain("i/w: hit");
    await workspace.write("word.ts", 'export const word: string = "hi";\n');
    expect(await ok("explain", "say")).toMatch(/source\.files\.word\.ts sha256:\S+ -> sha256:/);
    const [key = ""] = /[0-9a-f]{64}/.exec(await ok("show", "i/w")) ?? [];
    await ok("export", "latest", "out");
    const files = filesIn(join(workspace.folder, "out"));
    expect([...files.keys()].filter((name) => name.startsWith("pipeline/")).toSorted()).toEqual([
      "pipeline/inner.yaml",
      "pipeline/lab.ts",
      "pipeline/p.yaml",
      "pipeline/word.ts",
    ]);
    expect(files.get("pipeline/word.ts")).toContain("hello");
    expect(files.get("metrics.csv")).toBe("step,length,texts\nsay,5,\nj,8,2\n");
    expect(JSON.parse(files.get("fingerprints/i%2fw/i%2fw.json") ?? "")).toMatchObject({ step: "i/w", key });
    expect(await ok("trace", "j")).toMatch(/say {2}lab\.say@1\n(.*\n)*? {2}source {4}lab\.ts sha256/);
  });

  it("holds no secret that a step saw, and no half of itself where it cannot be written", async () => {
    const secret = "s3cret-of-the-lab";
    await workspace.write(
      "p.yaml",
      "name: p\nnodes:\n  f: { type: run.flaky, retries: 1, with: { name: x, failures: 1, how: secret } }\n",
    );
    const run = await workspace.run(["run", "p.yaml"], { RUN_TEST_SECRET: secret });
    expect(run.exitCode, run.stderr).toBe(0);
    const exported = await workspace.run(["export", "latest", "out"], { RUN_TEST_SECRET: secret });
    expect(exported.exitCode, exported.stderr).toBe(0);
    for (const [name, text] of filesIn(join(workspace.folder, "out")))
      expect(text.includes(secret), name).toBe(false);
    await workspace.write("taken", "a file");
    expect(await refused("export", "latest", "taken")).toContain("is a file");
    const inFile = await workspace.run(["export", "latest", "taken/out"]);
    expect(inFile.exitCode).toBeGreaterThan(0);
    expect(inFile.stderr).not.toContain("internal error");
    expect(existsSync(join(workspace.folder, "taken", "out"))).toBe(false);
    expect(await refused("export", "nothing", "elsewhere")).toContain("there is no run nothing");
  });
});

describe("ranflow explain", () => {
  it("with --scan knows steps that depend on data, and says what it was that ran again", async () => {
    await prepare();
    await ok("run", "p.yaml");
    expect(await ok("explain", "j[t=a]")).toContain(
      "files: not known yet, its data is not yet scanned (--scan",
    );
    expect(await ok("explain", "j[t=a]", "--scan")).toContain("j[t=a]: hit, nothing that can change");
    await writeFile(join(workspace.folder, "data", "two.txt"), "changed");
    expect(await ok("explain", "r", "--scan")).toMatch(
      /files: runs, because these fields changed:\n +external\.two\.txt sha256/,
    );
    await ok("run", "p.yaml", "--force", "w[t=a]");
    expect(await ok("explain", "w[t=a]")).toContain("executed it again with nothing changed: it was forced");
  });

  it("says of a result whose bytes are gone who needs them", async () => {
    await workspace.write(
      "p.yaml",
      "name: p\ninputs: { between: x }\nnodes:\n  w: { type: run.write, with: { text: bytes } }\n  j: { type: run.join, in: { texts: [w] }, with: { between: $(inputs.between) } }\n",
    );
    await ok("run", "p.yaml");
    const hex = digestBytes("bytes").slice(7);
    await rm(join(workspace.store, "objects", hex.slice(0, 2), hex.slice(2)), { force: true });
    expect(await ok("explain", "w", "--set", "inputs.between=y")).toMatch(
      /^w: rebuild, its outputs are gone from the store, and j needs them\n/,
    );
  });
});

describe("a run of shards", () => {
  it("can be tagged: what its shards left is not among its results", async () => {
    await workspace.write(
      "p.yaml",
      "name: p\nnodes:\n  items: { type: run.items, with: { count: 4 }, shards: 2 }\n",
    );
    await ok("run", "p.yaml");
    expect(await ok("tag", "sharded")).toContain("1 result that gc keeps");
    expect(await ok("diff", "sharded", "latest")).toContain("the only step has an equal key");
  });
});
