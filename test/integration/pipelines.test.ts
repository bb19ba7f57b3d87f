/** The shipped pipelines through the real command line, made small with `--set`. */
import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, readdir, rename, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import type { PlanEstimate } from "../../engine/model/plan.ts";
import { backendReport } from "../../nodes/compute/report.ts";
import { createWorkspace, type Workspace } from "../rig/cli.ts";

// Whole pipelines on a machine that does other work too.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const root = join(import.meta.dirname, "..", "..");
const library = join(root, "nodes", "index.ts");
const realData = process.env["RANFLOW_REALDATA"] ?? join(root, "..", "shared", "realdata");

const small = {
  quickstart: [
    "pairs=60",
    "targets=12",
    "cxr=120",
    "chexpert=40",
    "attackSteps=2",
    "epochs=1",
    "headEpochs=2",
  ],
  "real-sample": ["attackSteps=1", "epochs=1", "headEpochs=2"],
};

function setOptions(values: readonly string[]): readonly string[] {
  return values.flatMap((value) => ["--set", `inputs.${value}`]);
}

async function ran(workspace: Workspace, args: readonly string[]): Promise<readonly string[]> {
  const { events, result } = await workspace.events(["run", ...args]);
  expect(result.exitCode, result.stderr + failures(events)).toBe(0);
  return executed(events);
}

/** Nodes that executed: a shared or cached step does not count. */
function executed(events: readonly RunEvent[]): readonly string[] {
  return events.flatMap((event) =>
    event.type === "step-succeeded" && event.sharedWith === undefined ? [event.step] : [],
  );
}

function failures(events: readonly RunEvent[]): string {
  return events
    .flatMap((event) => (event.type === "step-failed" ? [`${event.step}: ${event.error.message}`] : []))
    .join("\n");
}

function nodesOf(steps: readonly string[]): readonly string[] {
  return [...new Set(steps.map((step) => step.replace(/\[.*/, "")))].toSorted();
}

const backends = (await backendReport()).filter(({ backend }) => backend !== "cpu");

describe.each(backends)("quickstart on $backend", ({ backend, available }) => {
  const use = [...setOptions(small.quickstart), "--backend", backend];
  let workspace: Workspace;
  let file: string;

  beforeAll(async () => {
    workspace = await createWorkspace({ nodes: library });
    file = join(workspace.folder, "p.yaml");
    await copyFile(join(root, "pipelines", "quickstart.yaml"), file);
  });
  afterAll(() => workspace.remove());

  it.skipIf(!available)(
    "runs from data to table, trains each distinct model once, and gives the same bytes again",
    async () => {
      const steps = await ran(workspace, ["p.yaml", ...use]);
      // Clean, two ratios of image noise, two of caption noise: `surrogate` is the clean one.
      expect(steps.filter((step) => /^(pretrain|surrogate)/.test(step))).toHaveLength(5);
      const table = join(workspace.store, "results", "quickstart", "table", "table.md");
      const text = await readFile(table, "utf8");
      for (const cell of ["image", "caption", "probe", "mlp", "ran", "chestxray14", "chexpert"])
        expect(text).toContain(cell);
      expect(text).not.toContain("–");

      const other = join(workspace.folder, "other-store");
      await ran(workspace, ["p.yaml", ...use, "--store", other]);
      expect(await outputDigests(workspace, file, other)).toEqual(
        await outputDigests(workspace, file, workspace.store),
      );
    },
  );

  it.skipIf(!available)(
    "runs nothing again: as it is, with nodes renamed, keys reordered, comments added",
    async () => {
      expect(await ran(workspace, ["p.yaml", ...use])).toEqual([]);
      const text = await readFile(file, "utf8");
      const renamed = text
        .replaceAll(/\bfinetune\b/g, "tuned")
        .replace(
          "with: { percent: 30, steps: $(inputs.attackSteps), eps: 8/255, alpha: 2/255 }",
          "# reordered\n    with: { alpha: 2/255, eps: 8/255, steps: $(inputs.attackSteps), percent: 30 }",
        );
      expect(renamed).toContain("# reordered");
      await writeFile(join(workspace.folder, "renamed.yaml"), renamed);
      expect(await ran(workspace, ["renamed.yaml", ...use])).toEqual([]);
    },
  );

  it.skipIf(!available)(
    "training that was killed goes on from its checkpoint and ends with the same bytes",
    async () => {
      const args = ["p.yaml", ...setOptions([...small.quickstart, "epochs=30"]), "--backend", backend];
      const [whole, killed] = [join(workspace.folder, "whole"), join(workspace.folder, "killed")];
      await ran(workspace, [...args, "--store", whole]);

      // A checkpoint at every one of the 30 training steps; killed some time after the third.
      const interrupted = [...args, "--store", killed, "--checkpoint-minutes", "0"];
      const run = workspace.start(["run", ...interrupted, "--ui", "json"]);
      await run.line(/"step":"surrogate","done":([3-9]|[1-9]\d),/);
      run.kill("SIGKILL");
      await run.result;

      const { events, result } = await workspace.events(["run", ...interrupted]);
      expect(result.exitCode, result.stderr + failures(events)).toBe(0);
      const done = events.flatMap((event) =>
        event.type === "step-progress" && event.step === "surrogate" ? [event.done] : [],
      );
      expect(done[0]).toBeGreaterThanOrEqual(2);
      expect(await outputDigests(workspace, file, killed, ["epochs=30"])).toEqual(
        await outputDigests(workspace, file, whole, ["epochs=30"]),
      );
    },
  );

  it.skipIf(!available)(
    "an edited head reruns heads and what follows, and explain names the field",
    async () => {
      const edit = [...use, "--set", "inputs.headEpochs=3"];
      const explained = await workspace.run([
        "explain",
        "p.yaml",
        "finetune[noise=image,gamma=10,head=ran]",
        ...setOptions(small.quickstart),
        "--set",
        "inputs.headEpochs=3",
      ]);
      expect(explained.stdout).toContain("params.epochs 2 -> 3");
      const steps = await ran(workspace, ["p.yaml", ...edit]);
      expect(nodesOf(steps)).toEqual(["evaluate", "figure", "finetune", "table"]);
    },
  );
});

it("the plan says that gamma 0 is one model before anything ran", async () => {
  const workspace = await createWorkspace({ nodes: library });
  const { stdout } = await workspace.run(["plan", join(root, "pipelines", "quickstart.yaml")]);
  expect(stdout).toMatch(
    /pretrain\[noise=caption,gamma=0\] is the same work as pretrain\[noise=image,gamma=0\]/,
  );
  await workspace.remove();
});

it("vqa: a fusion with each head answers in domain and out of it, and nothing runs again", async () => {
  const workspace = await createWorkspace({ nodes: library });
  const small = [
    "world.pairs=40",
    "world.slake=24",
    "world.vqaRad=12",
    "world.imageSize=32",
    "epochs=1",
    "fusion.epochs=2",
    "fusion.width=16",
    "fusion.heads=2",
  ];
  const args = [join(root, "pipelines", "vqa.yaml"), ...setOptions(small), "--backend", "wasm"];
  const steps = await ran(workspace, args);
  expect(steps.filter((step) => step.startsWith("train["))).toHaveLength(3);
  const text = await readFile(join(workspace.store, "results", "vqa", "table", "table.md"), "utf8");
  for (const cell of ["SLAKE", "VQA-RAD", "coverage", "probe", "mlp", "ran"]) expect(text).toContain(cell);
  expect(text).not.toContain("–");
  expect(await ran(workspace, args)).toEqual([]);
  await workspace.remove();
});

describe.skipIf(!existsSync(realData))("real-sample (skipped where the real data is absent)", () => {
  it("runs on real data, and moving the data folder reruns nothing", async () => {
    const workspace = await createWorkspace({ nodes: library });
    const [here, there] = ["data-here", "data-there"].map((name) => join(workspace.folder, name)) as [
      string,
      string,
    ];
    for (const name of [
      "rocov2",
      "medicat_surrogate_from_rocov2",
      "nih_chestxray14",
      "chexpert_surrogate_from_nih",
    ]) {
      await copyTree(join(realData, name), join(here, name));
    }
    const pipeline = join(root, "pipelines", "real-sample.yaml");
    const use = [...setOptions(small["real-sample"]), "--backend", "wasm"];
    const steps = await ran(workspace, [pipeline, ...use, "--set", `inputs.data=${here}`]);
    expect(nodesOf(steps)).toContain("table");
    const table: { rows: unknown } = JSON.parse(
      await readFile(join(workspace.store, "results", "real-sample", "table", "table.json"), "utf8"),
    );
    expect(JSON.stringify(table)).toContain("chexpert");
    await rename(here, there);
    expect(await ran(workspace, [pipeline, ...use, "--set", `inputs.data=${there}`])).toEqual([]);
    await workspace.remove();
  });
});

/** Copies without permissions: what may only be read there can be removed here. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    await (entry.isDirectory() ? copyTree(source, target) : writeFile(target, await readFile(source)));
  }
}

interface Claim {
  readonly id: string;
  readonly measured: number;
  readonly of: number;
}

describe("the paper's tables and figures", () => {
  it("are made by one command, with 13 models, and again from nothing but the store", async () => {
    const workspace = await createWorkspace({ nodes: library });
    const use = [join(root, "pipelines", "paper.yaml"), "--profile", "tiny"];
    const steps = await ran(workspace, use);
    // `clean` is what `pretrain` is without noise.
    expect(steps.filter((step) => /(pretrain\b|clean$)/.test(step))).toHaveLength(13);
    const results = join(workspace.store, "results", "paper");
    const text = async (step: string, file: string): Promise<string> =>
      readFile(join(results, step.replaceAll("/", "%2f"), file), "utf8");
    for (const table of ["t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10"])
      expect(await text(`${table}/table`, "table.md")).toMatch(/ours .*paper .*difference/);
    for (const figure of ["f3", "f6", "f7"])
      expect(await text(`${figure}/figure`, "figure.svg")).toContain("<svg");
    expect(await text("f8/sheet", "figure.svg")).toContain("<svg");
    expect(await text("f2/figure[f2/encoder=CLIP-ViT-L-14]", "figure.svg")).toContain("clean");
    expect(await text("f5/figure[f5/encoder=CLIP-ViT-L-14,f5/model=LLaVA-Med]", "figure.svg")).toContain(
      "about the adversarial image",
    );
    expect(await text("f9/figure", "figure.svg")).toContain("(closed)");
    for (const table of ["t7/table", "t10/table"])
      expect(await text(table, "table.md")).toContain("SLAKE / ours");
    const claims: readonly Claim[] = JSON.parse(await text("claims", "claims.json"));
    const measured = Object.fromEntries(claims.map((claim) => [claim.id, [claim.measured, claim.of]]));
    // Every comparison of the paper's eleven claims.
    expect(Object.keys(measured)).toHaveLength(11);
    for (const [id, [share, whole]] of Object.entries(measured)) expect([id, share]).toEqual([id, whole]);
    expect(await ran(workspace, use)).toEqual([]);
    await workspace.remove();
  });
});

describe("what a run shows, run again with the same seed into another store", () => {
  const of = (name: string): string => join(root, "pipelines", name);
  const pipeline = `
name: again
imports: { t3: ${of("table-3.yaml")}, t4: ${of("table-4.yaml")}, f8: ${of("figure-8.yaml")} }
nodes:
  figure:
    type: report.figure
    in: { rows: { collect: t4/classify.metrics, as: { t4/noise: noise, t4/gamma: gamma } } }
    with: { kind: lines, x: gamma, series: noise, facet: [dataset] }
  claims:
    type: report.claims
    in: { rows: { collect: t3/evaluate.metrics, as: { t3/noise: noise, t3/gamma: gamma, t3/head: head } } }
`;
  const stores = ["first", "second"];
  let workspace: Workspace;

  beforeAll(async () => {
    workspace = await createWorkspace({ nodes: library });
    await writeFile(join(workspace.folder, "p.yaml"), pipeline);
    // Other steps run beside each other, in another order.
    for (const [i, store] of stores.entries())
      await ran(workspace, ["p.yaml", "--profile", "tiny", "--store", store, "--slots", `cpu=${1 + 2 * i}`]);
  });
  afterAll(() => workspace.remove());

  it("has the same bytes: tables, figures, sheets, claims", async () => {
    const [first, second] = await Promise.all(
      stores.map((store) => filesBelow(join(workspace.folder, store, "results"))),
    );
    const names = Object.keys(first ?? {});
    for (const name of ["table.md", "table.tex", "table.csv", "figure.svg", "figure.png", "claims.md"])
      expect(names.filter((path) => path.endsWith(`/${name}`))).not.toEqual([]);
    expect(second).toEqual(first);
  });

  it("has the same page, but for when and how long", async () => {
    const pages = stores.map(async (store) => {
      const { exitCode, stderr } = await workspace.run([
        "report",
        "latest",
        `${store}.html`,
        "--store",
        store,
      ]);
      expect(exitCode, stderr).toBe(0);
      const page = await readFile(join(workspace.folder, `${store}.html`), "utf8");
      const [results] = page.split('<h2 id="timings">') as [string];
      expect(results.length).toBeLessThan(page.length);
      return results
        .replaceAll(/\d{8}-\d{6}-[0-9a-f]{4}/g, "RUN")
        .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d UTC/g, "TIME");
    });
    const [first, second] = await Promise.all(pages);
    for (const shown of ["Table 3", "Table 4", "f8/sheet", "t4/classify", "t3/world"])
      expect(first).toContain(shown);
    expect(second).toBe(first);
  });

  it("tells what the paper's settings would take, and of what nothing can be told", async () => {
    const plan = ["plan", of("table-4.yaml"), "--profile", "paper", "--store", "first"];
    const { stdout } = await workspace.run(plan);
    expect(stdout).toMatch(/^Estimate: at least \d+d .* of work, .* in the store,$/m);
    expect(stdout).toMatch(/^  clip\.pretrain +9 .* for [\d,]+ times the work$/m);
    expect(stdout).toMatch(/^Not in it, .*1 step of attack\.caption-llm/m);
    const { estimate }: { estimate: PlanEstimate } = JSON.parse(
      (await workspace.run([...plan, "--json"])).stdout,
    );
    const pretrain = estimate.nodes.find(({ node }) => node === "pretrain");
    expect(pretrain).toMatchObject({ steps: 9, unknown: { time: 0, space: 0 } });
    expect(estimate.longestPath).toBeLessThan(estimate.milliseconds);
    expect(pretrain?.milliseconds).toBeLessThan(estimate.milliseconds);
  });

  it("can be traced to where the data began, and a number to the one record that it is", async () => {
    const traced = async (file: string, ...more: readonly string[]): Promise<string> => {
      const { exitCode, stderr, stdout } = await workspace.run([
        "trace",
        join("first", "results", "again", file),
        "--store",
        "first",
        ...more,
      ]);
      expect(exitCode, stderr).toBe(0);
      return stdout;
    };
    const files = [
      "t3%2ftable/table.md",
      "t4%2ftable/table.md",
      "f8%2fsheet/figure.png",
      "figure/figure.svg",
      "claims/claims.md",
    ];
    for (const file of files) {
      const { beyond, results }: { beyond: number; results: readonly TracedResult[] } = JSON.parse(
        await traced(file, "--json"),
      );
      expect(beyond).toBe(0);
      const sources = results.filter(({ fingerprint }) => Object.keys(fingerprint.inputs).length === 0);
      const types = new Set(sources.map(({ fingerprint }) => fingerprint.type));
      expect(types.delete("data.synthetic"), file).toBe(true);
      expect(
        [...types].filter((type) => type !== "paper.printed"),
        file,
      ).toEqual([]);
    }
    const cell = await traced("t4%2ftable/table.md", "--cell", "noise=image,gamma=20,dataset=chexpert");
    expect(cell).toContain("holds 1 of 18 inputs");
    expect(cell).toContain("t4/classify[t4/noise=image,t4/gamma=20,t4/cxr=ood]");
  });
});

interface TracedResult {
  readonly fingerprint: { readonly type: string; readonly inputs: object };
}

/** SHA-256 of every file below a folder. */
async function filesBelow(folder: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Object.fromEntries(
    await Promise.all(
      files.map(async ({ name, parentPath }) => {
        const path = join(parentPath, name);
        return [
          relative(folder, path),
          createHash("sha256")
            .update(await readFile(path))
            .digest("hex"),
        ];
      }),
    ),
  ) as Readonly<Record<string, string>>;
}

/** Digest of every output of every step. */
async function outputDigests(
  workspace: Workspace,
  file: string,
  store: string,
  more: readonly string[] = [],
): Promise<Readonly<Record<string, unknown>>> {
  const ids = [
    "checkpoint",
    "attacked",
    "rewritten",
    "pretrain[noise=image,gamma=30]",
    "finetune[noise=caption,gamma=10,head=ran]",
    "table",
    "figure",
  ];
  const digests: Record<string, unknown> = {};
  for (const id of ids) {
    const { stdout, stderr } = await workspace.run([
      "show",
      file,
      id,
      "--store",
      store,
      "--json",
      ...setOptions([...small.quickstart, ...more]),
    ]);
    expect(stderr).toBe("");
    const { outputs }: { outputs: readonly { port: string; digest: string }[] } = JSON.parse(stdout);
    digests[id] = outputs.map(({ port, digest }) => [port, digest]);
  }
  return digests;
}
