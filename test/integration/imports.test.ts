import { existsSync, readdirSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createWorkspace, executedSteps } from "../rig/cli.ts";
import type { Workspace } from "../rig/cli.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace();
  await mkdir(join(workspace.folder, "tables"));
  await workspace.write(
    "tables/words.yaml",
    "inputs: { first: alpha }\naxes: { word: [one, two] }\nnodes: { write: { type: run.write, with: { text: $(inputs.first) $(word), say: $(word) } } }\n",
  );
  await workspace.write("tables/letters.yaml", letters);
});
afterEach(() => workspace.remove());

const letters = `
name: letters
imports: [words.yaml]
profiles: { long: { axes: { word: [one, two, three] } } }
nodes:
  join: { type: run.join, in: { texts: { collect: write.text } } }
  report: { type: run.report, description: Letters, in: { text: join.text } }
`;

const paper = `
name: paper
imports: { t1: tables/letters.yaml, t2: { file: tables/letters.yaml, inputs: { first: $(inputs.greeting) } } }
inputs: { greeting: hello }
nodes:
  all: { type: run.join, in: { texts: [{ collect: t1/write.text, as: { t1/word: word } }, { collect: t2/write.text }] } }
`;

it("runs imported pipelines, whose steps are those of the pipelines alone", async () => {
  await workspace.write("paper.yaml", paper);
  const first = await workspace.events(["run", "paper.yaml"]);
  expect(first.result).toMatchObject({ exitCode: 0, stderr: "" });
  expect(executedSteps(first.events).toSorted()).toEqual(
    [
      "all",
      ...["t1", "t2"].flatMap((name) => [
        `${name}/join`,
        `${name}/report`,
        `${name}/write[${name}/word=one]`,
        `${name}/write[${name}/word=two]`,
      ]),
    ].toSorted(),
  );
  // The same keys: a pipeline alone finds what it did as a part of another.
  const alone = await workspace.events(["run", "tables/letters.yaml"]);
  expect(alone.result.exitCode).toBe(0);
  expect(executedSteps(alone.events)).toEqual([]);
  // And equal steps of two imported pipelines are one execution.
  await workspace.write("paper.yaml", paper.replace("$(inputs.greeting)", "ahoy"));
  const shared = await workspace.events(["run", "paper.yaml", "--set", "t2/inputs.first=alpha"]);
  expect(executedSteps(shared.events)).toEqual(["all"]);
});

it("keeps logs and results of steps with a namespace inside their folders, and finds them again", async () => {
  await workspace.write("paper.yaml", paper);
  const { events, result } = await workspace.events(["run", "paper.yaml", "--profile", "t1/long"]);
  expect(result.exitCode).toBe(0);
  const started = events.find((event) => event.type === "run-started");
  expect(started).toMatchObject({ profiles: ["t1/long"] });
  const run = join(workspace.store, "runs", started?.type === "run-started" ? started.run : "");
  expect(readdirSync(join(run, "steps"))).toContain("t1%2fwrite[t1%2fword=three].log");
  const results = readdirSync(join(workspace.store, "results", "paper"));
  expect(results.toSorted()).toEqual(["t1%2freport", "t2%2freport"]);
  expect(existsSync(join(workspace.store, "results", "paper", "t1%2freport"))).toBe(true);

  // The latest run's profile is taken: without it there is no such step.
  const step = "t1/write[t1/word=three]";
  for (const args of [
    ["explain", step],
    ["show", step],
    ["log", step],
  ]) {
    expect(await workspace.run(args), args.join(" ")).toMatchObject({ exitCode: 0 });
  }
  expect(await workspace.run(["show", "paper.yaml", step])).toMatchObject({ exitCode: 2 });
  expect(await workspace.run(["show", "paper.yaml", step, "--profile", "long"])).toMatchObject({
    exitCode: 0,
  });
});

it("takes --profile in every command that opens a pipeline", async () => {
  await workspace.write("paper.yaml", paper);
  const commands = [["check", "--json"], ["plan", "--axes", "--json"], ["metrics", "--json"], ["run"]];
  for (const [command = "", ...options] of commands) {
    const wrong = await workspace.run([command, "paper.yaml", ...options, "--profile", "lnog"]);
    expect(wrong.exitCode, command).toBe(2);
    expect(wrong.stderr + wrong.stdout, command).toContain("did you mean `long`?");
  }
  const plan = await workspace.run(["plan", "paper.yaml", "--axes", "--json", "--profile", "long"]);
  expect(JSON.parse(plan.stdout)).toMatchObject({
    "t1/write": { axes: ["t1/word"], steps: 3 },
    "t2/write": { axes: ["t2/word"], steps: 3 },
    all: { axes: [], steps: 1 },
  });
  const text = await readFile(join(workspace.folder, "paper.yaml"), "utf8");
  expect(text).toBe(paper);
});
