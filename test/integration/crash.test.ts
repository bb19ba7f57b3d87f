import { readdirSync, readFileSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { childrenOf, createWorkspace, eventsOfRuns, executedSteps, gone, wholeEvents } from "../rig/cli.ts";
import type { Workspace } from "../rig/cli.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(() => workspace.remove());

const chain = `
name: chain
axes:
  n: [1, 2, 3, 4]
nodes:
  write:
    type: run.write
    with: { text: w$(n) }
  letter:
    type: run.first-letter
    in: { text: write }
  gate:
    type: run.gated
    in: { after: letter }
    with: { name: gate-$(n) }
`;

const training = (gateAt: number): string => `
name: training
nodes:
  train:
    type: run.train
    with: { name: net, steps: 8, gateAt: ${gateAt} }
`;

const expected = "2 4 8 16 32 64 128 256";

describe("kill -9 of the driver", () => {
  it("loses no finished step, repeats none, and leaves no worker behind", async () => {
    await workspace.write("p.yaml", chain);
    // A slot for every gate: with fewer, those in front of gate-1 could hold them all.
    const run = workspace.start(["run", "p.yaml", "--slots", "cpu=4"]);
    await workspace.reached("gate-1");
    const workers = await childrenOf(run.pid);
    expect(workers.length).toBeGreaterThan(0);
    const finished = executedSteps(eventsOfRuns(workspace.store));
    run.kill("SIGKILL");
    expect((await run.result).signal).toBe("SIGKILL");
    for (const worker of workers) await gone(worker);

    const before = workspace.executions().length;
    for (const n of [1, 2, 3, 4]) await workspace.open(`gate-${n}`);
    const { events, result } = await workspace.events(["run", "p.yaml"]);
    expect(result.exitCode).toBe(0);
    const repeated = executedSteps(events).filter((step) => finished.includes(step));
    expect(repeated).toEqual([]);
    expect(workspace.executions().length).toBeGreaterThan(before);
    expect(executedSteps((await workspace.events(["run", "p.yaml"])).events)).toEqual([]);
  });

  it("at whatever moment it comes, no step that was seen to finish executes again", async () => {
    await workspace.write("p.yaml", chain);
    for (const n of [1, 2, 3, 4]) await workspace.open(`gate-${n}`);
    const done = new Set<string>();
    // Each round kills a little later in the run: after its k-th line of events.
    for (const lines of [1, 4, 9, 15]) {
      const run = workspace.start(["run", "p.yaml", "--ui", "json"]);
      await run.lines(lines);
      run.kill("SIGKILL");
      for (const step of executedSteps(wholeEvents((await run.result).stdout))) {
        expect(done).not.toContain(step);
        done.add(step);
      }
    }
    const { events, result } = await workspace.events(["run", "p.yaml"]);
    expect(result.exitCode).toBe(0);
    for (const step of executedSteps(events)) expect(done).not.toContain(step);
  });

  it("goes on from the last checkpoint and ends with the same bytes", async () => {
    await workspace.write("p.yaml", training(5));
    const run = workspace.start(["run", "p.yaml", "--checkpoint-minutes", "0"]);
    await workspace.reached("net-5");
    const [worker] = await childrenOf(run.pid);
    run.kill("SIGKILL");
    await run.result;
    await gone(worker ?? 0);
    await workspace.open("net-5");
    const { events } = await workspace.events(["run", "p.yaml", "--checkpoint-minutes", "0"]);
    expect(executedSteps(events)).toEqual(["train"]);
    expect(workspace.executions()).toEqual(["train net from 0", "train net from 4"]);
    expect(resultText()).toContain(expected);
    expect(readdirSync(join(workspace.store, "checkpoints"))).toEqual([]);
  });
});

describe("Ctrl-C", () => {
  it("once: lets steps save, exits with 130, and the next run goes on", async () => {
    await workspace.write("p.yaml", training(5));
    const run = workspace.start(["run", "p.yaml", "--ui", "json"]);
    await workspace.reached("net-5");
    run.kill("SIGINT");
    const { exitCode, stdout } = await run.result;
    expect(exitCode).toBe(130);
    expect(stdout).toContain('"type":"run-stopping","how":"checkpoint"');
    expect(stdout).toContain('"type":"step-cancelled","step":"train","checkpointed":true');
    await workspace.open("net-5");
    await workspace.run(["run", "p.yaml"]);
    expect(workspace.executions()).toEqual(["train net from 0", "train net from 5"]);
    expect(resultText()).toContain(expected);
  });

  it("twice: stops a step that does not listen", async () => {
    await workspace.write(
      "p.yaml",
      "name: deaf\nnodes:\n  deaf:\n    type: run.gated\n    with: { name: shut, deaf: true }\n",
    );
    const run = workspace.start(["run", "p.yaml", "--ui", "json"]);
    await workspace.reached("shut");
    run.kill("SIGINT");
    await run.line('"how":"checkpoint"');
    run.kill("SIGINT");
    const { exitCode, stdout } = await run.result;
    expect(exitCode).toBe(130);
    expect(stdout).toContain('"how":"now"');
  });

  it("is not meant by a lost terminal: SIGHUP does not end a run", async () => {
    await workspace.write(
      "p.yaml",
      "name: hup\nnodes:\n  wait:\n    type: run.gated\n    with: { name: shut }\n",
    );
    const run = workspace.start(["run", "p.yaml"]);
    await workspace.reached("shut");
    const workers = await childrenOf(run.pid);
    run.kill("SIGHUP");
    for (const worker of workers) process.kill(worker, "SIGHUP");
    await workspace.open("shut");
    expect((await run.result).exitCode).toBe(0);
  });
});

describe("a store", () => {
  it.skipIf(process.getuid?.() === 0)(
    "that cannot be written to is an error before anything runs (needs a user who is not root)",
    async () => {
      await workspace.write("p.yaml", training(-1));
      await workspace.run(["run", "p.yaml"]);
      await chmod(join(workspace.store, "index", "data.mdb"), 0o400);
      const { exitCode, stderr } = await workspace.run(["run", "p.yaml"]);
      expect(exitCode).toBe(2);
      expect(stderr).toContain("cannot be written");
    },
  );

  it("two processes use at once executes every step once", async () => {
    await workspace.write("p.yaml", chain);
    const args = ["run", "p.yaml", "--slots", "cpu=4"];
    const runs = [workspace.start(args), workspace.start(args)];
    await workspace.reached("gate-1");
    for (const n of [1, 2, 3, 4]) await workspace.open(`gate-${n}`);
    for (const run of runs) expect((await run.result).exitCode).toBe(0);
    const executions = workspace.executions();
    expect(new Set(executions.filter((line) => line.startsWith("gated"))).size).toBe(4);
    expect(executions.filter((line) => line.startsWith("gated"))).toHaveLength(4);
    expect(executions.filter((line) => line.startsWith("write"))).toHaveLength(4);
  });
});

/** All objects of the store as one text. */
function resultText(): string {
  const objects = join(workspace.store, "objects");
  return readdirSync(objects)
    .flatMap((fan) =>
      readdirSync(join(objects, fan)).map((name) => readFileSync(join(objects, fan, name), "utf8")),
    )
    .join("\n");
}
