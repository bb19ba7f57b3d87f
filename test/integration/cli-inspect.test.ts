import { existsSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createWorkspace } from "../rig/cli.ts";
import type { Workspace } from "../rig/cli.ts";

const pipeline = `
name: lengths
axes:
  between: { dash: "-", arrow: "->" }
nodes:
  write: { type: run.write, with: { text: alpha } }
  join:
    type: run.join
    in: { texts: [write, write] }
    with: { between: $(between) }
`;

const changing = `
name: changing
inputs: { text: alpha, between: "-" }
nodes:
  write: { type: run.write, with: { text: $(inputs.text) } }
  join: { type: run.join, in: { texts: [write, write] }, with: { between: $(inputs.between) } }
`;

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace();
  await workspace.write("p.yaml", pipeline);
  await workspace.run(["run", "p.yaml"]);
});
afterAll(() => workspace.remove());

describe("what a person asks after a run", () => {
  it("metrics are a table for each node, with what all rows share said once", async () => {
    const { stdout, exitCode } = await workspace.run(["metrics", "p.yaml"]);
    expect(exitCode).toBe(0);
    expect(stdout.trimEnd().split("\n")).toEqual([
      "join (2 steps)",
      "  texts 2",
      "  between  length",
      "  dash         11",
      "  arrow        12",
    ]);
  });

  it("metrics as CSV hold every field of every step", async () => {
    const { stdout } = await workspace.run(["metrics", "p.yaml", "--csv"]);
    expect(stdout.trimEnd().split("\n")).toEqual([
      "step,result,between,texts,length",
      "join[between=dash],current,dash,2,11",
      "join[between=arrow],current,arrow,2,12",
    ]);
  });

  it("a step that said nothing has a log all the same, and no file of its own", async () => {
    const { stdout, exitCode } = await workspace.run(["log", "write"]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^\S+Z attempt 1 \(run\) in worker \d+\n\S+Z succeeded after \d+ ms$/);
    const { stdout: json } = await workspace.run(["log", "write", "--json"]);
    expect(JSON.parse(json)).toMatchObject({ path: expect.stringMatching(/events\.ndjson$/) as string });
    await workspace.run(["run", "p.yaml"]);
    expect((await workspace.run(["log", "write"])).stdout).toBe(stdout);
    expect((await workspace.run(["log", "write", "--run", "nope"])).exitCode).not.toBe(0);
  });

  it("a step's outputs are copied out of the store, and nothing is overwritten", async () => {
    const folder = join(workspace.folder, "copied");
    const args = ["show", "join[between=arrow]", "--to", folder];
    expect(await workspace.run(args)).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(folder, "text"), "utf8")).toBe("alpha->alpha");
    expect(existsSync(join(folder, "metrics"))).toBe(true);
    const again = await workspace.run(args);
    expect(again.exitCode).toBe(2);
    expect(again.stderr).toContain("exists already; give --to another folder");
  });

  it("a step needs no pipeline while that of the latest run is there", async () => {
    const { stdout } = await workspace.run(["explain", "write"]);
    expect(stdout).toContain("write: hit");
    await rm(join(workspace.folder, "p.yaml"));
    const gone = await workspace.run(["explain", "write"]);
    expect(gone.exitCode).toBe(2);
    expect(gone.stderr).toMatch(/p\.yaml, the pipeline of the latest run \S+, is gone/);
  });

  it("what is left of a step's last run is shown with the parameters that made it, and is said to be that", async () => {
    await workspace.write("q.yaml", changing);
    await workspace.run(["run", "q.yaml"]);
    const show = async (step: string, ...rest: readonly string[]) => {
      const text = await workspace.run(["show", "q.yaml", step, ...rest]);
      const { stdout } = await workspace.run(["show", "q.yaml", step, ...rest, "--json"]);
      return { text: text.stdout, shown: JSON.parse(stdout) as object };
    };
    const now = await show("join");
    expect(now.shown).toMatchObject({ result: "current", params: { between: "-" } });
    expect(now.text).not.toContain("a previous result");

    // The key of `write` is known and has no result; that of `join` is not known, for `write` would run.
    const changed = ["--set", "inputs.text=beta", "--set", "inputs.between=->"];
    const write = await show("write", ...changed);
    expect(write.shown).toMatchObject({ result: "previous", params: { text: "alpha" } });
    const join = await show("join", ...changed);
    expect(join.shown).toMatchObject({ result: "previous", params: { between: "-" } });
    expect(join.text).toContain("a previous result: the step would run again");
    expect(join.text).toContain("params    between=-");
  });

  it("neither a measured field nor an axis hides which step a row of metrics is of", async () => {
    // `run.join` measures `texts` and `length`.
    await workspace.write(
      "clash.yaml",
      `
name: clash
axes: { step: [one, two], result: [r], texts: [t] }
nodes:
  write: { type: run.write, with: { text: alpha } }
  join:
    type: run.join
    in: { texts: [write] }
    with: { between: $(step)$(result)$(texts) }
  other: { type: run.join, in: { texts: [write] } }
`,
    );
    await workspace.run(["run", "clash.yaml"]);
    const { stdout } = await workspace.run(["metrics", "clash.yaml", "--csv"]);
    expect(stdout.trimEnd().split("\n")).toEqual([
      "step,result,axis.step,axis.result,texts,measured.texts,length",
      '"join[step=one,result=r,texts=t]",current,one,r,t,1,5',
      '"join[step=two,result=r,texts=t]",current,two,r,t,1,5',
      "other,current,,,,1,5",
    ]);
    const { stdout: text } = await workspace.run(["metrics", "clash.yaml", "join"]);
    expect(text).toContain("  axis.step\n  one\n  two");
    const folder = join(workspace.folder, "exported");
    expect(await workspace.run(["export", "latest", folder])).toMatchObject({ exitCode: 0 });
    expect(readFileSync(join(folder, "metrics.csv"), "utf8")).toBe(
      `${stdout.replace("step,result,", "step,").replaceAll(",current,", ",")}\n`,
    );
  });
});
