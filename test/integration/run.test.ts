import { readFileSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { stepLogPath } from "../../engine/run/step-log.ts";
import { createWorkspace, executedSteps } from "../rig/cli.ts";
import type { Workspace } from "../rig/cli.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(() => workspace.remove());

const letters = (words: string, between = "+"): string => `
name: letters
axes:
  word: [${words}]
nodes:
  write:
    type: run.write
    with: { text: $(word) }
  letter:
    type: run.first-letter
    in: { text: write }
  join:
    type: run.join
    in: { texts: { collect: letter.text } }
    with: { between: "${between}" }
  report:
    type: run.report
    description: Letters
    in: { text: join.text }
`;

describe("a run", () => {
  it("executes every step after those it reads, and nothing the second time", async () => {
    await workspace.write("p.yaml", letters("alpha, beta"));
    const { events, result } = await workspace.events(["run", "p.yaml"]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    const order = executedSteps(events);
    expect(new Set(order)).toEqual(
      new Set([
        "join",
        "letter[word=alpha]",
        "letter[word=beta]",
        "report",
        "write[word=alpha]",
        "write[word=beta]",
      ]),
    );
    expect(order).toHaveLength(6);
    for (const word of ["alpha", "beta"]) {
      expect(order.indexOf(`write[word=${word}]`)).toBeLessThan(order.indexOf(`letter[word=${word}]`));
      expect(order.indexOf(`letter[word=${word}]`)).toBeLessThan(order.indexOf("join"));
    }
    expect(events.map(({ n }) => n)).toEqual(events.map((_, i) => i));

    const again = await workspace.events(["run", "p.yaml"]);
    expect(executedSteps(again.events)).toEqual([]);
    expect(again.events.some(({ type }) => type === "step-started")).toBe(false);
    expect(again.events.flatMap((event) => (event.type === "steps-cached" ? event.steps : []))).toHaveLength(
      6,
    );
    expect(workspace.executions()).toHaveLength(6);
  });

  it("stops a change where the bytes come out the same", async () => {
    await workspace.write(
      "p.yaml",
      `
name: cutoff
inputs: { text: alpha }
nodes:
  write:
    type: run.write
    with: { text: $(inputs.text) }
  letter:
    type: run.first-letter
    in: { text: write }
  report:
    type: run.report
    in: { text: letter }
`,
    );
    await workspace.run(["run", "p.yaml"]);
    const same = await workspace.events(["run", "p.yaml", "--set", "inputs.text=apple"]);
    expect(executedSteps(same.events)).toEqual(["write", "letter"]);
    expect(same.events.at(-1)).toMatchObject({ outcome: "succeeded", results: [{ step: "report" }] });
    const other = await workspace.events(["run", "p.yaml", "--set", "inputs.text=beta"]);
    expect(executedSteps(other.events)).toEqual(["write", "letter", "report"]);
  });

  it("executes equal work once and says who shares it", async () => {
    await workspace.write(
      "p.yaml",
      `
name: shared
axes:
  copy: [a, b, c]
nodes:
  write:
    type: run.write
    with: { text: same, ignored: $(copy) }
`,
    );
    const { events } = await workspace.events(["run", "p.yaml"]);
    expect(workspace.executions()).toEqual(["write same"]);
    const shared = events.flatMap((event) => (event.type === "step-succeeded" ? [event.sharedWith] : []));
    expect(shared).toEqual([undefined, "write[copy=a]", "write[copy=a]"]);
  });

  it("puts metrics into events, and reports where they are found, also when all are hits", async () => {
    await workspace.write("p.yaml", letters("alpha, beta"));
    for (const round of ["first", "second"]) {
      const { events } = await workspace.events(["run", "p.yaml"]);
      if (round === "first") {
        const join_ = events.find((event) => event.type === "step-succeeded" && event.step === "join");
        expect(join_).toMatchObject({ metrics: { texts: 2, length: 3 } });
      }
      const table = join(workspace.store, "results", "letters", "report", "table.md");
      expect(events.at(-1)).toMatchObject({
        type: "run-finished",
        outcome: "succeeded",
        results: [
          {
            step: "report",
            title: "Letters",
            text: "| text |\n| --- |\n| a+b |\n",
            files: [join(workspace.store, "results", "letters", "report", "figures", "figure.svg"), table],
          },
        ],
      });
      expect(readFileSync(table, "utf8")).toContain("a+b");
    }
    await workspace.write("p.yaml", letters("alpha, beta", "/"));
    const { events } = await workspace.events(["run", "p.yaml"]);
    expect(events.at(-1)).toMatchObject({ results: [{ text: "| text |\n| --- |\n| a/b |\n" }] });
  });

  it("keeps an event log and a log per step in the run's folder", async () => {
    await workspace.write("p.yaml", flaky("node", 1));
    const { events } = await workspace.events(["run", "p.yaml"]);
    const [started] = events;
    if (started?.type !== "run-started") throw new Error("no run-started");
    const folder = join(workspace.store, "runs", started.run);
    const logged = readFileSync(join(folder, "events.ndjson"), "utf8").trimEnd().split("\n");
    expect(logged.map((line) => JSON.parse(line) as unknown)).toEqual(events);
    expect(readFileSync(stepLogPath(folder, "flaky"), "utf8")).toContain(
      "error here is not ready (try later)",
    );
  });

  it("forces every step with --force, and runs `cache: false` steps every time", async () => {
    await workspace.write(
      "p.yaml",
      `${letters("alpha")}  always:\n    type: run.write\n    with: { text: always }\n    cache: false\n`,
    );
    await workspace.run(["run", "p.yaml"]);
    const second = await workspace.events(["run", "p.yaml"]);
    expect(executedSteps(second.events)).toEqual(["always"]);
    const forced = await workspace.events(["run", "p.yaml", "--force"]);
    expect(executedSteps(forced.events)).toHaveLength(5);
  });

  it("rebuilds lost bytes only when a step that must run reads them", async () => {
    await workspace.write("p.yaml", letters("alpha"));
    const { events } = await workspace.events(["run", "p.yaml"]);
    const objects = join(workspace.store, "objects");
    for (const fan of await readdir(objects)) {
      for (const name of await readdir(join(objects, fan))) {
        if (readFileSync(join(objects, fan, name), "utf8") === "a") await rm(join(objects, fan, name));
      }
    }
    expect(executedSteps(events)).toHaveLength(4);
    expect(executedSteps((await workspace.events(["run", "p.yaml"])).events)).toEqual([]);
    await workspace.write("p.yaml", letters("alpha", "-"));
    const rerun = await workspace.events(["run", "p.yaml"]);
    expect(executedSteps(rerun.events).slice(0, 2)).toEqual(["letter[word=alpha]", "join"]);
  });
});

const flaky = (how: string, failures: number, more = ""): string => `
name: flaky
nodes:
  flaky:
    type: run.flaky
    with: { name: here, failures: ${failures}, how: ${how} }
    ${more}
  after:
    type: run.first-letter
    in: { text: flaky }
  apart:
    type: run.write
    with: { text: apart }
`;

describe("a step that fails", () => {
  it("ends the run with code 1, points at the YAML, and skips what depends on it", async () => {
    await workspace.write("p.yaml", flaky("node", 9));
    const { events, result } = await workspace.events(["run", "p.yaml", "--keep-going"]);
    expect(result.exitCode).toBe(1);
    expect(events.find(({ type }) => type === "step-failed")).toMatchObject({
      step: "flaky",
      attempt: 1,
      willRetry: false,
      error: {
        kind: "node",
        message: "here is not ready",
        hint: "try later",
        at: expect.stringMatching(/p\.yaml:4:3$/),
      },
    });
    expect(events.find(({ type }) => type === "step-skipped")).toMatchObject({
      step: "after",
      because: "flaky",
    });
    expect(executedSteps(events)).toEqual(["apart"]);
    expect(events.at(-1)).toMatchObject({ type: "run-finished", outcome: "failed" });
  });

  it("lets nothing new start, unless told to keep going", async () => {
    await workspace.write("p.yaml", flaky("node", 9));
    await workspace.run(["run", "p.yaml", "--slots", "cpu=1"]);
    expect(workspace.executions()).toEqual(["flaky here"]);
    await workspace.run(["run", "p.yaml", "--slots", "cpu=1", "--keep-going"]);
    expect(workspace.executions()).toEqual(["flaky here", "flaky here", "write apart"]);
  });

  it("is tried again as often as `retries` says", async () => {
    await workspace.write("p.yaml", flaky("throw", 1, "retries: 1"));
    const { events, result } = await workspace.events(["run", "p.yaml"]);
    expect(result.exitCode).toBe(0);
    expect(events.find(({ type }) => type === "step-failed")).toMatchObject({
      willRetry: true,
      error: { kind: "internal", message: expect.stringContaining("undefined is not a function") },
    });
    expect(events.find((event) => event.type === "step-started" && event.attempt === 2)).toBeDefined();
  });

  it("is tried again without being asked where the node says the trouble is transient", async () => {
    await workspace.write("p.yaml", flaky("transient", 1));
    expect((await workspace.run(["run", "p.yaml"])).exitCode).toBe(0);
    expect(workspace.executions().filter((line) => line === "flaky here")).toHaveLength(2);
  });

  it("takes only its worker down where it crashes, and says how", async () => {
    await workspace.write("p.yaml", flaky("exit", 1));
    const exit = await workspace.events(["run", "p.yaml", "--keep-going"]);
    expect(exit.events.find(({ type }) => type === "step-failed")).toMatchObject({
      error: { kind: "crash", message: "the worker process exited with code 3: last words" },
    });
    expect(executedSteps(exit.events)).toEqual(["apart"]);

    await workspace.write("p.yaml", flaky("kill", 2));
    const kill = await workspace.events(["run", "p.yaml"]);
    expect(kill.events.find(({ type }) => type === "step-failed")).toMatchObject({
      error: { kind: "crash", message: "the worker process was ended by SIGSEGV" },
    });
  });

  it("ends at once where its worker is killed and a program that it started lives on", async () => {
    await workspace.write(
      "p.yaml",
      "name: orphan\nnodes:\n  step:\n    type: run.flaky\n    with: { name: a, failures: 1, how: orphan }\n",
    );
    const { events } = await workspace.events(["run", "p.yaml"]);
    expect(events.find(({ type }) => type === "step-failed")).toMatchObject({ error: { kind: "crash" } });
    const orphan = Number(readFileSync(join(workspace.folder, "orphan.pid"), "utf8"));
    // Still there: nobody waited for it.
    expect(() => process.kill(orphan, "SIGKILL")).not.toThrow();
  });

  it("is told apart from one that forgot an output", async () => {
    await workspace.write("p.yaml", flaky("no-output", 1));
    const { events } = await workspace.events(["run", "p.yaml"]);
    expect(events.find(({ type }) => type === "step-failed")).toMatchObject({
      error: {
        kind: "internal",
        message: "the node type run.flaky finished, but its output text was not written",
      },
    });
  });

  it("shows no secret in events, logs or output", async () => {
    await workspace.write("p.yaml", flaky("secret", 1));
    const secret = "s3cr3t-value";
    const { events, result } = await workspace.events(["run", "p.yaml"], { RUN_TEST_SECRET: secret });
    const failed = events.find(({ type }) => type === "step-failed");
    expect(failed).toMatchObject({ error: { message: "the server refused the key [RUN_TEST_SECRET]" } });
    const [started] = events;
    if (started?.type !== "run-started") throw new Error("no run-started");
    const log = readFileSync(stepLogPath(join(workspace.store, "runs", started.run), "flaky"), "utf8");
    expect(log).toContain("the key is [RUN_TEST_SECRET]");
    expect(log).toContain("printed [RUN_TEST_SECRET]");
    expect(log + result.stdout + result.stderr).not.toContain(secret);
  });

  it("is ended when its timeout is over", async () => {
    await workspace.write(
      "p.yaml",
      "name: slow\nnodes:\n  slow:\n    type: run.gated\n    with: { name: shut }\n    timeout: 0.2s\n",
    );
    const { events, result } = await workspace.events(["run", "p.yaml"]);
    expect(result.exitCode).toBe(1);
    expect(events.find(({ type }) => type === "step-failed")).toMatchObject({
      error: { kind: "timeout", message: "took longer than its timeout of 0.2 s" },
    });
  });
});

describe("external files", () => {
  const pipeline = (root: string): string => `
name: files
nodes:
  files:
    type: run.files
    with: { root: ${root}, names: [b.txt, a.txt] }
`;

  it("enter by content: a moved folder reruns nothing, a changed file does", async () => {
    await mkdir(join(workspace.folder, "data"));
    await workspace.write("data/a.txt", "A");
    await workspace.write("data/b.txt", "B");
    await workspace.write("p.yaml", pipeline("data"));
    const { events } = await workspace.events(["run", "p.yaml"]);
    expect(events.flatMap((event) => (event.type === "step-started" ? [event.phase] : []))).toEqual([
      "scan",
      "run",
    ]);
    expect(events.some((event) => event.type === "step-progress" && event.unit === "file")).toBe(true);
    expect(workspace.executions()).toEqual(["files a.txt,b.txt memo 0"]);

    await rename(join(workspace.folder, "data"), join(workspace.folder, "moved"));
    await workspace.write("p.yaml", pipeline("moved"));
    expect(executedSteps((await workspace.events(["run", "p.yaml"])).events)).toEqual([]);

    await workspace.write("moved/a.txt", "changed");
    expect(executedSteps((await workspace.events(["run", "p.yaml"])).events)).toEqual(["files"]);
    expect(workspace.executions().at(-1)).toBe("files a.txt,b.txt memo 1");
  });

  it("that are missing are named with their dataset", async () => {
    await workspace.write("p.yaml", pipeline("nowhere"));
    const { events, result } = await workspace.events(["run", "p.yaml"]);
    expect(result.exitCode).toBe(1);
    expect(events.find(({ type }) => type === "step-failed")).toMatchObject({
      error: {
        kind: "node",
        message: `dataset letters: the file ${join(workspace.folder, "nowhere", "b.txt")} is missing`,
      },
    });
  });
});

describe("the command line", () => {
  it("refuses steps that ask for more than there is, before anything runs", async () => {
    await workspace.write(
      "p.yaml",
      "name: big\nnodes:\n  big:\n    type: run.write\n    with: { text: x }\n    resources: { gpu: 3 }\n",
    );
    const { exitCode, stderr } = await workspace.run(["run", "p.yaml", "--slots", "gpu=2"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("step big asks for 3 gpu, but there is 2 gpu");
    expect(stderr).toContain("p.yaml:3:3");
    expect(workspace.executions()).toEqual([]);
    const given = await workspace.events(["run", "p.yaml", "--slots", "gpu=3"]);
    expect(given.events.find(({ type }) => type === "step-started")).toMatchObject({ gpus: [0, 1, 2] });
  });

  it("explains wrong options and pipelines, with code 2", async () => {
    for (const [args, text] of [
      [["run"], "which pipeline"],
      [["run", "p.yaml", "--threads", "none"], "whole number"],
      [["run", "p.yaml", "--slots", "cpu=lots"], "--slots"],
      [["run", "missing.yaml"], "missing.yaml"],
      [["rnu", "p.yaml"], "Did you mean run"],
    ] as const) {
      await workspace.write("p.yaml", letters("alpha"));
      const { exitCode, stderr } = await workspace.run(args);
      expect(stderr).toContain(text);
      expect(exitCode).toBe(2);
    }
  });

  it("prints lines and a summary where there is no terminal", async () => {
    await workspace.write("p.yaml", letters("alpha"));
    const { stdout, exitCode } = await workspace.run(["run", "p.yaml"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("| a |");
    expect(stdout).not.toContain("\u001b");
  });
});
