import { chmod, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createWorkspace, executedSteps } from "../rig/cli.ts";
import type { CliResult, Workspace } from "../rig/cli.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(() => workspace.remove());

const letters = (labels: string, more = ""): string => `
name: p
axes: { t: [${labels}] }
nodes:
  w: { type: run.write, with: { text: $(t) } }
  j: { type: run.join, in: { texts: { collect: w } } }
  r: { type: run.report, in: { text: j.text } }
${more}`;

async function run(labels: string, more?: string, ...args: readonly string[]): Promise<readonly string[]> {
  await workspace.write("p.yaml", letters(labels, more));
  const { events, result } = await workspace.events(["run", "p.yaml", ...args]);
  expect(result.exitCode, result.stderr).toBe(0);
  return executedSteps(events).toSorted();
}

async function json<T>(...args: readonly string[]): Promise<T> {
  const result = await workspace.run([...args, "--json"]);
  expect(result.stderr).toBe("");
  return JSON.parse(result.stdout) as T;
}

async function command(...args: readonly string[]): Promise<CliResult> {
  return workspace.run(args);
}

interface Gc {
  readonly removed: { readonly results: number };
  readonly keptBy: Readonly<Record<string, number>>;
  readonly busy: boolean;
}

describe("cache gc", () => {
  it("keeps what the last whole run had; a part or a failure takes nothing away from it", async () => {
    await run("a, b, c");
    await run("a, b, c", "", "w[t=a]");
    expect(await json<Gc>("cache", "gc", "--days", "0")).toMatchObject({
      removed: { results: 0 },
      keptBy: { pipeline: 5 },
    });
    await workspace.write("p.yaml", letters("a", "  f: { type: run.flaky, with: { name: x, failures: 9 } }"));
    expect((await command("run", "p.yaml", "--keep-going")).exitCode).toBe(1);
    // The steps that it finished count instead of those before: `j` and `r` are other results now.
    expect(await json<Gc>("cache", "gc", "--days", "0")).toMatchObject({
      removed: { results: 2 },
      keptBy: { pipeline: 5 },
    });
    await run("a");
    expect(await json<Gc>("cache", "gc", "--days", "0")).toMatchObject({
      removed: { results: 2 },
      keptBy: { pipeline: 3 },
    });
    expect((await command("cache", "verify")).exitCode).toBe(0);
    expect(await run("a")).toEqual([]);
  });

  it("keeps what a tag names, and forgets a pipeline when told to", async () => {
    await run("a, b");
    expect((await command("tag", "paper")).stdout).toContain("4 results that gc keeps");
    await run("c");
    expect((await command("tag", "only-j", "j")).stdout).toContain("2 results that gc keeps");
    await run("d");
    const gc = await json<Gc>("cache", "gc", "--days", "0");
    expect(gc).toMatchObject({ removed: { results: 1 }, keptBy: { pipeline: 3, tag: 6 } });
    expect((await command("tag", "paper", "--delete")).exitCode).toBe(0);
    expect((await command("tag", "paper", "--delete")).stderr).toContain("there is no tag paper");
    const forgotten = await json<Gc>("cache", "gc", "--days", "0", "--forget", "p");
    expect(forgotten).toMatchObject({ removed: { results: 7 }, keptBy: { pipeline: 0, tag: 2 } });
    const unknown = await command("cache", "gc", "--forget", "q");
    expect(unknown).toMatchObject({ exitCode: 2 });
    expect(unknown.stderr).toContain('no results of a pipeline "q"');
    for (const name of ["../x", "20260101-000000", "latest", "-x", "a b"]) {
      expect((await command("tag", "--", name)).exitCode, name).toBe(2);
    }
  });

  it("takes nothing that a run which goes on has found, and other commands answer meanwhile", async () => {
    const gated = "  g: { type: run.gated, in: { after: j.text }, with: { name: gate } }";
    await run("a, b, c");
    await run("a");
    await workspace.write("p.yaml", letters("a, b, c", gated));
    const going = workspace.start(["run", "p.yaml", "--ui", "json"]);
    await workspace.reached("gate");
    const gc = await json<Gc>("cache", "gc", "--days", "0");
    expect(gc).toMatchObject({ removed: { results: 0 }, busy: true });
    const others = [
      ["plan", "p.yaml"],
      ["show", "p.yaml", "j"],
      ["cache", "status"],
      ["cache", "verify"],
    ];
    for (const args of others) {
      const result = await command(...args);
      expect(result, `${args.join(" ")}: ${result.stderr}`).toMatchObject({ exitCode: 0, stderr: "" });
    }
    const repair = await command("cache", "verify", "--repair");
    expect(repair).toMatchObject({ exitCode: 0 });
    await workspace.open("gate");
    const result = await going.result;
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stdout).toContain('"executions":{"atLeast":1,"atMost":1}');
    expect(await run("a, b, c", gated)).toEqual([]);
    expect(await json<Gc>("cache", "gc", "--days", "0")).toMatchObject({
      busy: false,
      removed: { results: 2 },
    });
    expect(await run("a, b, c", gated)).toEqual([]);
  });

  it("may go on while runs begin and end: each has all it found, and the store stays whole", async () => {
    const labels = ["a", "a, b", "a, b, c", "b", "c"];
    await run("a, b, c");
    for (const label of labels) {
      await workspace.write("p.yaml", letters(label));
      const [started, ...collections] = await Promise.all([
        workspace.run(["run", "p.yaml"]),
        workspace.run(["cache", "gc", "--days", "0"]),
        workspace.run(["cache", "gc", "--days", "0"]),
      ]);
      for (const { exitCode, stderr } of [started, ...collections]) expect(exitCode, stderr).toBe(0);
    }
    expect((await command("cache", "verify")).stdout).toContain("every object holds");
  });
});

describe("cache verify --repair", () => {
  it("drops a flipped object's result, and the next run executes that step alone", async () => {
    await run("a, b");
    const { outputs } = await json<{ outputs: readonly { files: Readonly<Record<string, string>> }[] }>(
      "show",
      "p.yaml",
      "w[t=a]",
    );
    const path = outputs[0]?.files[""] as string;
    await chmod(path, 0o644);
    await writeFile(path, "A");
    const found = await command("cache", "verify");
    expect(found.exitCode).toBe(1);
    expect(found.stdout).toContain("wrong-bytes");
    expect(found.stdout).toContain("needed by p: w[t=a]");
    const repaired = await command("cache", "verify", "--repair");
    expect(repaired).toMatchObject({ exitCode: 0 });
    expect(repaired.stdout).toContain("dropped 1 result, 1 object");
    expect(repaired.stdout).toContain("the next run executes again:\n  p: w[t=a]");
    expect((await command("cache", "verify")).exitCode).toBe(0);
    expect(await run("a, b")).toEqual(["w[t=a]"]);
    expect(await readFile(path, "utf8")).toBe("a");
  });
});

describe("sharing through a folder", () => {
  const remote = (): string => join(workspace.folder, "shared");
  const elsewhere = (name: string): Readonly<Record<string, string>> => ({
    RANFLOW_STORE: join(workspace.folder, name),
  });

  it("pushes, pulls, and runs over the shared folder", async () => {
    await run("a, b");
    await command("tag", "v1");
    expect((await command("cache", "push", remote())).stdout).toContain("pushed 4 results");
    expect((await command("cache", "push", remote(), "--tag", "v1")).stdout).toContain(
      "4 results were there",
    );
    const pulled = await workspace.run(["cache", "pull", remote(), "--tag", "v1"], elsewhere("theirs"));
    expect(pulled.stdout, pulled.stderr).toContain("pulled 4 results");
    expect((await workspace.run(["tag"], elsewhere("theirs"))).stdout).toContain("v1  4 steps of p");
    expect((await workspace.run(["cache", "verify"], elsewhere("theirs"))).exitCode).toBe(0);
    const cached = await workspace.events(["run", "p.yaml"], elsewhere("theirs"));
    expect(executedSteps(cached.events)).toEqual([]);

    await workspace.write("p.yaml", letters("a, b, c"));
    const sharing = ["run", "p.yaml", "--remote", remote()];
    const second = await workspace.events(sharing, elsewhere("second"));
    expect(second.result.stderr).toBe("");
    expect(executedSteps(second.events).toSorted()).toEqual(["j", "r", "w[t=c]"]);
    const third = await workspace.events(["run", "p.yaml"], {
      ...elsewhere("third"),
      RANFLOW_REMOTE: remote(),
    });
    expect(executedSteps(third.events)).toEqual([]);
    expect(await readdir(join(workspace.folder, "third", "results", "p", "r"))).toContain("table.md");
    expect((await workspace.run(["cache", "verify"], elsewhere("third"))).exitCode).toBe(0);
    const planned = await workspace.run(
      ["plan", "p.yaml", "--json", "--remote", remote(), "--store", join(workspace.folder, "fourth")],
      elsewhere("fourth"),
    );
    expect(JSON.parse(planned.stdout)).toMatchObject({ counts: { hit: 5, run: 0 } });
  });

  it("says what is wrong with the folder, and goes on without one that only the environment names", async () => {
    await run("a");
    const nowhere = join(workspace.folder, "nowhere");
    for (const args of [
      ["run", "p.yaml", "--remote", nowhere],
      ["plan", "p.yaml", "--remote", nowhere],
    ]) {
      const result = await command(...args);
      expect(result).toMatchObject({ exitCode: 2 });
      expect(result.stderr).toContain("there is no shared folder");
    }
    const going = await workspace.run(["run", "p.yaml"], { RANFLOW_REMOTE: nowhere });
    expect(going).toMatchObject({ exitCode: 0 });
    expect(going.stderr).toContain("going on without it");
    for (const [args, problem] of [
      [["push", workspace.folder], "not a folder that results"],
      [["push", join(workspace.folder, "p.yaml")], "it is no folder"],
      [["pull", workspace.store], "private to one machine"],
    ] as const) {
      const result = await command("cache", ...args);
      expect(result).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(problem) as string });
    }
    const unknown = await command("cache", "push", remote(), "--tag", "v9");
    expect(unknown).toMatchObject({ exitCode: 2 });
    await command("cache", "push", remote());
    const absent = await command("cache", "pull", remote(), "--pipeline", "q");
    expect(absent.stderr).toContain("none of the pipelines called q");
    expect(absent.stderr).toContain("there are: p");
  });

  it("reports what is torn, takes the rest, and ends with code 1", async () => {
    await run("a, b");
    await command("cache", "push", remote());
    const [prefix] = await readdir(join(remote(), "results"));
    const [name] = await readdir(join(remote(), "results", prefix as string));
    await rm(join(remote(), "results", prefix as string, name as string));
    await writeFile(join(remote(), "results", prefix as string, name as string), "{");
    const pulled = await workspace.run(["cache", "pull", remote()], elsewhere("theirs"));
    expect(pulled).toMatchObject({ exitCode: 1 });
    expect(pulled.stdout).toContain("pulled 3 results");
    expect(pulled.stdout).toContain("1 file refused");
    const { exitCode } = await workspace.run(["run", "p.yaml"], elsewhere("theirs"));
    expect(exitCode).toBe(0);
  });
});
