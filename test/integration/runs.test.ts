import { spawnSync } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createWorkspace, gone } from "../rig/cli.ts";
import type { Workspace } from "../rig/cli.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(() => workspace.remove());

async function ok(...args: readonly string[]): Promise<string> {
  const result = await workspace.run(args);
  expect(result.exitCode, `${args.join(" ")}: ${result.stderr}${result.stdout}`).toBe(0);
  return result.stdout;
}

interface Listed {
  readonly run: string;
  readonly outcome: string;
  readonly command?: string;
  readonly duration?: number;
  readonly tags: readonly string[];
}

const listed = async (...args: readonly string[]): Promise<readonly Listed[]> =>
  JSON.parse(await ok("runs", "--json", ...args)) as readonly Listed[];

describe("ranflow runs", () => {
  it("says how each run was run and how it ended, the newest first", async () => {
    await workspace.write(
      "p.yaml",
      "name: p\naxes: { a: [1, 2] }\nnodes:\n  w: { type: run.write, with: { text: $(a.label) } }\n  f: { type: run.flaky, with: { name: x, failures: 9, how: node } }\n",
    );
    await workspace.write("q.yaml", "name: q\nnodes:\n  g: { type: run.gated, with: { name: gate } }\n");
    expect((await workspace.run(["runs"])).exitCode).toBe(2);
    expect((await workspace.run(["run", "p.yaml"])).exitCode).toBe(1);
    await ok("run", "p.yaml", "w[a=1]", "--slots", "cpu=1");
    await ok("tag", "first");
    const going = workspace.start(["run", "q.yaml"]);
    await workspace.reached("gate");
    expect((await listed()).map(({ outcome }) => outcome)).toEqual(["running", "succeeded", "failed"]);
    going.kill("SIGKILL");
    await going.result;
    await gone(going.pid);

    const [killed, part, failed] = await listed();
    expect(killed).toMatchObject({ outcome: "killed", tags: [] });
    expect(killed?.duration).toBeUndefined();
    expect(part).toMatchObject({ outcome: "succeeded", tags: ["first"] });
    expect(part?.command).toBe(`ranflow run ${join(workspace.folder, "p.yaml")} 'w[a=1]'`);
    expect(failed).toMatchObject({ outcome: "failed", tags: [] });

    const [heading, first, second, rest] = (await ok("runs", "--last", "2")).split("\n");
    expect(heading).toMatch(/^run +pipeline +began \(UTC\) +took +outcome +tags +as$/);
    expect(first).toMatch(/^\S+ +q +\S+ \S+ +killed +q\.yaml$/);
    expect(second).toMatch(/^\S+ +p +\S+ \S+ +\S+ m?s +succeeded +first +p\.yaml 'w\[a=1\]'$/);
    expect(rest).toBe("and 1 earlier run (--last)");

    // What is known without its log is the record in the index.
    await rm(join(workspace.store, "runs", part?.run ?? ""), { recursive: true });
    expect((await listed())[1]).toMatchObject({ run: part?.run, outcome: "ended", tags: ["first"] });
  });
});

describe("a run that was forced", () => {
  it("is told as such, so that nobody wonders why steps with results ran again", async () => {
    await workspace.write("p.yaml", "name: p\nnodes:\n  w: { type: run.write, with: { text: x } }\n");
    await ok("run", "p.yaml");
    await ok("run", "p.yaml", "--force");
    await ok("run", "p.yaml", "w", "--force", "w");
    const path = join(workspace.folder, "p.yaml");
    expect((await listed()).map(({ command }) => command)).toEqual([
      `ranflow run ${path} w --force w`,
      `ranflow run ${path} --force`,
      `ranflow run ${path}`,
    ]);
  });
});

describe("a copy of a pipeline that kept its name", () => {
  it("is warned of while the other is there: results and gc go by the name", async () => {
    const pipeline = "name: p\nnodes: { w: { type: run.write, with: { text: x } } }\n";
    await workspace.write("p.yaml", pipeline);
    await workspace.write("copy.yaml", pipeline);
    const said = async (file: string): Promise<string> => (await workspace.run(["run", file])).stderr;
    expect(await said("p.yaml")).toBe("");
    expect(await said("copy.yaml")).toContain(
      `the last run named p was one of ${join(workspace.folder, "p.yaml")}`,
    );
    await rm(join(workspace.folder, "copy.yaml"));
    expect(await said("p.yaml")).toBe("");
  });
});

describe("a step that another process executes", () => {
  it("is waited for, and that is said", async () => {
    await workspace.write("p.yaml", "name: p\nnodes:\n  g: { type: run.gated, with: { name: gate } }\n");
    const first = workspace.start(["run", "p.yaml"]);
    await workspace.reached("gate");
    const second = workspace.start(["run", "p.yaml"]);
    await second.line(`waits   g  process ${first.pid} on `);
    await workspace.open("gate");
    expect((await first.result).stdout).toContain(": 1 ran");
    expect((await second.result).stdout).toContain(": 1 cached");
    expect(workspace.executions()).toHaveLength(1);
  });
});

describe("a step's log", () => {
  it("is that of the run that executed it, though a later one scanned its data again", async () => {
    await mkdir(join(workspace.folder, "data"));
    await writeFile(join(workspace.folder, "data", "one.txt"), "1");
    await workspace.write(
      "p.yaml",
      "name: p\nnodes:\n  files: { type: run.files, with: { root: data, names: [one.txt] } }\n",
    );
    await ok("run", "p.yaml");
    const log = await ok("log", "files");
    expect(log).toContain("succeeded after");
    await ok("run", "p.yaml");
    expect(await ok("log", "files")).toBe(log);
  });
});

describe("a step on the command line", () => {
  it("may be named by what makes it the only one", async () => {
    await workspace.write(
      "p.yaml",
      "name: p\naxes: { a: [1, 2], b: [3] }\nnodes:\n  w: { type: run.write, with: { text: $(a)$(b) } }\n",
    );
    await ok("run", "p.yaml");
    expect(await ok("show", "w[b=3,a=1]")).toMatch(/^w\[a=1,b=3\] /);
    expect(await ok("explain", "w[a=2]")).toMatch(/^w\[a=2,b=3\]: hit/);
    const { exitCode, stderr } = await workspace.run(["show", "w"]);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("The steps of w are:\n  w[a=1,b=3]\n")]);
    const traced = await workspace.run(["trace", "w[a=9]"]);
    expect([traced.exitCode, traced.stderr]).toEqual([2, expect.stringContaining("\n  w[a=1,b=3]\n")]);
  });

  it("does not stand for the pipeline, which is asked for, or guessed where it is misspelt", async () => {
    await workspace.write("p.yaml", "name: p\nnodes: { w: { type: run.write, with: { text: x } } }\n");
    const said = async (...args: readonly string[]): Promise<string> => {
      const { exitCode, stderr } = await workspace.run(args);
      expect(exitCode).toBe(2);
      return stderr;
    };
    expect(await said("run", "w[a=1]")).toContain('which pipeline? "w[a=1]" is no file');
    expect(await said("plan", "w", "p.yaml")).toContain("name the pipeline first");
    expect(await said("check", "p.yml")).toContain("did you mean `p.yaml`?");
    expect(await said("tag", "--delete")).toContain("which tag?");
  });
});

describe("a folder that was removed while somebody was in it", () => {
  it("is said, and no fault of the program", async () => {
    const main = fileURLToPath(new URL("../../engine/cli/main.ts", import.meta.url));
    const left = spawnSync(
      "sh",
      ["-c", 'mkdir here && cd here && rmdir ../here && exec "$0" "$1" runs', process.execPath, main],
      {
        cwd: workspace.folder,
        encoding: "utf8",
      },
    );
    expect([left.status, left.stderr]).toEqual([
      2,
      expect.stringContaining("the folder you are in was removed"),
    ]);
  });
});

describe("a store in a folder that cannot have one", () => {
  it("is refused, also where the system says of a new name that there is no such file", async () => {
    await workspace.write("p.yaml", "name: p\nnodes: { w: { type: run.write, with: { text: x } } }\n");
    const { exitCode, stderr } = await workspace.run(["run", "p.yaml", "--store", "/proc/nothing/store"]);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("/proc/nothing/store")]);
  });
});
