/**
 * Steps on a real Slurm cluster, and what becomes of them when drivers, workers, nodes and the controller fail. One
 * cluster serves all tests; those that wait for Slurm's clock go on beside the others, on a node of their own.
 */
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import type { Claim } from "../../engine/model/submission.ts";
import { startCluster, until } from "../rig/cluster.ts";
import type { Cluster } from "../rig/cluster.ts";
import { createWorkspace, executedSteps } from "../rig/cli.ts";
import type { CliProcess, CliResult, Workspace } from "../rig/cli.ts";

const started = await startCluster(3, [
  "PreemptType=preempt/partition_prio",
  "PreemptMode=REQUEUE",
  "SlurmdTimeout=60",
  "PartitionName=low Nodes=n2 PriorityTier=1 GraceTime=20 State=UP",
  "PartitionName=urgent Nodes=n2 PriorityTier=9 State=UP",
]);
const cluster = started as Cluster;
const reason = typeof started === "string" ? ` (${started})` : "";
afterAll(async () => {
  if (reason === "") await cluster.stop();
});

/** Containers may forbid it. */
const hasMounts = (await execa("unshare", ["--mount", "true"], { reject: false })).exitCode === 0;

/** The last node is for what takes Slurm a minute. */
const slowNode = "n3";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(() => workspace.remove());

const env = (more: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> => ({
  ...cluster.env,
  RANFLOW_SLURM_GRACE: "1",
  RANFLOW_SLURM_POLL: "0.5",
  ...more,
});

const write = (nodes: string, slurm = ""): Promise<void> =>
  workspace.write(
    "p.yaml",
    `name: p\nexecutor: slurm\nslurm: { options: [--nodelist=n1, --nodes=1]${slurm} }\nnodes:\n${nodes}`,
  );

const start = (more?: Readonly<Record<string, string>>): CliProcess =>
  workspace.start(["run", "p.yaml", "--ui", "json"], env(more));

const eventsOf = ({ stdout }: CliResult): readonly RunEvent[] =>
  stdout.split("\n").flatMap((line) => (line.endsWith("}") ? [JSON.parse(line) as RunEvent] : []));

const failures = (events: readonly RunEvent[]): readonly string[] =>
  events.flatMap((event) => (event.type === "step-failed" ? [`${event.step}: ${event.error.message}`] : []));

const warnings = (events: readonly RunEvent[]): readonly string[] =>
  events.flatMap((event) => (event.type === "step-log" && event.level === "warning" ? [event.message] : []));

/** A gated step that waits for the test. */
const gated = (name: string, more = ""): string =>
  `  ${name}: { type: run.gated, with: { name: ${name} }${more} }\n`;

/** Names of the arrays that the first node has or had. */
const arrays = async (): Promise<ReadonlySet<string>> =>
  new Set((await cluster.slurm("squeue", "-h", "--states=all", "-w", "n1", "-o", "%j")).split("\n"));

/** Names of the folders of what was submitted. */
const tokens = (): Promise<readonly string[]> => readdir(join(workspace.store, "slurm"));

/** The element that serves a step, as Slurm names it. */
async function elementOf(step: string): Promise<{ readonly id: string; readonly node: string }> {
  const folder = join(workspace.store, "slurm");
  const json = async <T>(...path: readonly string[]): Promise<T> =>
    JSON.parse(await readFile(join(folder, ...path), "utf8")) as T;
  for (const token of await readdir(folder)) {
    for (const name of await readdir(join(folder, token, "request"))) {
      const request = await json<{ readonly step: string }>(token, "request", name);
      if (request.step !== step) continue;
      const { element, job, node } = await json<Claim>(token, "claim", `${Number.parseInt(name)}.json`);
      return { id: `${job}_${element}`, node };
    }
  }
  throw new Error(`no worker has ${step}`);
}

/** A `sbatch` in front of the real one. */
async function wrapSbatch(script: string): Promise<Readonly<Record<string, string>>> {
  const bin = join(workspace.folder, "bin");
  await mkdir(bin);
  await writeFile(join(bin, "sbatch"), `#!/bin/sh\necho "$@" >> ${bin}/calls\n${script}`);
  await chmod(join(bin, "sbatch"), 0o755);
  return { PATH: `${bin}:${process.env["PATH"]}` };
}

/** Slurm counts in minutes, and looks twice in each: this goes on beside the other tests. */
async function runOutOfTime(): Promise<{
  readonly events: readonly RunEvent[];
  readonly executions: readonly string[];
  readonly exitCode: number | undefined;
}> {
  const own = await createWorkspace();
  try {
    await own.write(
      "p.yaml",
      `name: p
executor: slurm
slurm: { time: 1m, options: [--nodelist=${slowNode}] }
nodes:
  net: { type: run.train, with: { name: net, steps: 6, gateAt: 3 } }
  deaf: { type: run.gated, with: { name: deaf, deaf: true } }
`,
    );
    const run = own.start(["run", "p.yaml", "--ui", "json", "--keep-going"], env());
    await run.line(/was warned of its end, and has saved: submitted again/);
    await own.open("net-3");
    const result = await run.result;
    return { events: eventsOf(result), executions: own.executions(), exitCode: result.exitCode };
  } finally {
    await own.remove();
  }
}

let slow: ReturnType<typeof runOutOfTime>;
beforeAll(() => {
  if (reason === "") slow = runOutOfTime();
});

describe.skipIf(reason !== "")(`a Slurm cluster${reason}`, () => {
  it("makes of a pipeline what this machine makes of it, and tells where", async () => {
    await workspace.write(
      "p.yaml",
      `
name: p
axes: { n: [1, 2, 3, 4, 5, 6] }
nodes:
  write: { type: run.write, with: { text: w$(n), say: hello } }
  letter: { type: run.first-letter, in: { text: write } }
  items: { type: run.items, in: { text: write }, with: { count: 2 }, slurm: { gres: "gpu:1" } }
  gpu: { type: run.variable, with: { name: CUDA_VISIBLE_DEVICES, as: some }, slurm: { gres: "gpu:1" } }
  none: { type: run.variable, with: { name: CUDA_VISIBLE_DEVICES, as: none } }
  here: { type: run.join, in: { texts: { collect: letter.text } }, executor: local }
  join: { type: run.join, in: { texts: [{ collect: items.text }, here.text] }, resources: { memory: 200M } }
`,
    );
    const here = await workspace.events(["run", "p.yaml", "--store", "here"]);
    const there = await workspace.events(["run", "p.yaml", "--executor", "slurm"], env());
    expect(there.result.exitCode, there.result.stderr).toBe(0);
    expect(failures(there.events)).toEqual([]);
    expect(warnings(there.events)).toEqual([]);
    const results = (events: readonly RunEvent[]): readonly string[] =>
      events
        .flatMap((event) => (event.type === "step-succeeded" ? [`${event.step} ${event.key}`] : []))
        .toSorted();
    // Keys hold the digests of what a step reads: equal ones say that all before it came out the same.
    expect(results(there.events)).toEqual(results(here.events));
    expect(await objects(workspace.store)).toEqual(await objects(join(workspace.folder, "here")));
    const places = new Map(
      there.events.flatMap((event) =>
        event.type === "step-started" ? [[event.step as string, event] as const] : [],
      ),
    );
    expect(places.get("write[n=1]")?.host).toMatch(/^n[123]$/);
    expect(places.get("items[n=1]")?.gpus).toHaveLength(1);
    expect(places.get("here")?.host).toBeUndefined();
    const gpu = places.get("gpu")?.gpus;
    expect(gpu).toHaveLength(1);
    const said = there.events.flatMap((event) => (event.type === "step-log" ? [event.message] : []));
    expect(said).toContain(`some ${gpu?.[0]}`);
    expect(said).toContain("none -1");
    expect(there.events.some((event) => event.type === "step-pending")).toBe(true);
    expect(said).toContain("hello");
    expect(await readdir(join(workspace.store, "slurm"))).toEqual([]);
    const again = await workspace.events(["run", "p.yaml", "--executor", "slurm"], env());
    expect(executedSteps(again.events)).toEqual([]);
  });

  it("keeps what was submitted when the driver is killed, and the next one joins it", async () => {
    await write(gated("a") + gated("b") + "  c: { type: run.join, in: { texts: [a, b] } }\n");
    const first = start();
    await Promise.all([workspace.reached("a"), workspace.reached("b")]);
    const submitted = await arrays();
    first.kill("SIGKILL");
    await first.result;
    await workspace.open("a");
    const second = start();
    await second.line(/joins what an earlier run had submitted/);
    await workspace.open("b");
    const result = await second.result;
    expect(result.exitCode, result.stderr).toBe(0);
    expect(workspace.executions().toSorted()).toEqual(["gated a", "gated b", "join a+b"]);
    // One array for what came after, none for what was there.
    expect((await arrays()).size).toBe(submitted.size + 1);
  });

  it("goes on elsewhere when a node fails, and takes nothing from a worker that lives on there", async () => {
    await workspace.write(
      "p.yaml",
      `name: p\nexecutor: slurm\nslurm: { options: [--exclude=${slowNode}] }\nnodes:\n${gated("a", "")}`,
    );
    const run = start();
    await workspace.reached("a");
    const { node } = await elementOf("a");
    // As where a node is cut off: nobody can end what runs there.
    const thaw = cluster.freeze(node);
    await cluster.slurm("scontrol", "update", `nodename=${node}`, "state=down", "reason=test");
    await run.line(/node n[12] failed \(NODE_FAIL\): submitted again/);
    await run.line(/"type":"step-started".*"host":"n/);
    await workspace.open("a");
    const result = await run.result;
    thaw();
    await cluster.resume(node);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(workspace.executions()).toEqual(["gated a", "gated a"]);
    const hosts = eventsOf(result).flatMap((event) => (event.type === "step-started" ? [event.host] : []));
    expect(hosts).toHaveLength(2);
    expect(hosts[1]).not.toBe(hosts[0]);
  });

  it("waits for a controller that is away: what runs goes on, and nothing is submitted twice", async () => {
    await write(gated("a") + gated("b") + "  c: { type: run.join, in: { texts: [a, b] } }\n");
    const run = start();
    await Promise.all([workspace.reached("a"), workspace.reached("b")]);
    await cluster.stopController();
    await run.line(/the Slurm controller does not answer/);
    await workspace.open("a");
    await run.line(/"type":"step-succeeded","step":"a"/);
    await workspace.open("b");
    await run.line(/sbatch gave no answer/);
    await cluster.startController();
    const result = await run.result;
    expect(result.exitCode, result.stderr).toBe(0);
    expect(workspace.executions().toSorted()).toEqual(["gated a", "gated b", "join a+b"]);
  });

  it("begins again what a killed controller has forgotten, and nothing else", async () => {
    // The third worker is the one of `new`.
    const path = await wrapSbatch(`
pid=$(sed -n 3p ${workspace.folder}/processes.log 2> /dev/null)
[ -n "$pid" ] && [ -d "/proc/$pid" ] && touch ${workspace.folder}/twice
PATH=/usr/bin:/bin exec sbatch "$@"`);
    await write(
      gated("old") +
        gated("go") +
        gated("new", ", in: { after: go }") +
        "  all: { type: run.join, in: { texts: [old, go, new] } }\n",
    );
    const run = start(path);
    await Promise.all([workspace.reached("old"), workspace.reached("go")]);
    const crash = await cluster.snapshot();
    await workspace.open("go");
    await workspace.reached("new");
    await crash();
    await cluster.startController();
    await run.line(/Slurm has no record of \d+_0 any more, and it left no result: submitted again/);
    await Promise.all([workspace.open("old"), workspace.open("new")]);
    const result = await run.result;
    expect(result.exitCode, result.stderr).toBe(0);
    expect(workspace.executions().toSorted()).toEqual([
      "gated go",
      "gated new",
      "gated new",
      "gated old",
      "join old+go+new",
    ]);
    expect(await readdir(workspace.folder)).not.toContain("twice");
  });

  it("finds a submission whose answer was lost, and makes one that was never made", async () => {
    const path = await wrapSbatch(`
if [ ! -e ${workspace.folder}/lost ]; then
  touch ${workspace.folder}/lost; PATH=/usr/bin:/bin sbatch "$@" > /dev/null
  echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1
elif [ ! -e ${workspace.folder}/never ]; then
  touch ${workspace.folder}/never; echo "sbatch: error: something new" >&2; exit 1
fi
PATH=/usr/bin:/bin exec sbatch "$@"`);
    await write("  a: { type: run.write, with: { text: a } }\n  b: { type: run.join, in: { texts: [a] } }\n");
    const result = await start(path).result;
    expect(result.exitCode, result.stderr).toBe(0);
    expect(workspace.executions()).toEqual(["write a", "join a"]);
    expect(
      warnings(eventsOf(result)).filter((text) => text.startsWith("sbatch gave no answer")),
    ).toHaveLength(2);
    const calls = (await readFile(join(workspace.folder, "bin", "calls"), "utf8")).trim().split("\n");
    expect(calls).toHaveLength(3);
  });

  it("has no more in the queue than it may, and tries again where Slurm takes no more", async () => {
    const path = await wrapSbatch(`
if [ ! -e ${workspace.folder}/full ]; then
  touch ${workspace.folder}/full
  echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
  echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)" >&2
  exit 1
fi
PATH=/usr/bin:/bin exec sbatch "$@"`);
    await workspace.write(
      "p.yaml",
      "name: p\naxes: { n: [1, 2, 3, 4, 5] }\nnodes:\n  a: { type: run.write, with: { text: w$(n) } }\n",
    );
    const args = ["run", "p.yaml", "--executor", "slurm", "--slots", "slurm=2", "--ui", "json"];
    const result = await workspace.start(args, env(path)).result;
    expect(result.exitCode, result.stderr).toBe(0);
    const events = eventsOf(result);
    expect(warnings(events)[0]).toMatch(/Slurm takes no more for now \(QOSMaxSubmitJobPerUserLimit/);
    expect(workspace.executions()).toHaveLength(5);
    const sizes = (await readFile(join(workspace.folder, "bin", "calls"), "utf8")).match(/--array=\S+/g);
    expect(sizes?.every((size) => size === "--array=0-0" || size === "--array=0-1")).toBe(true);
  });

  it("divides what the cluster takes no array of, and waits while its controller holds all it may", async () => {
    const held = (await cluster.slurm("squeue", "-h", "-r", "--states=all", "-o", "%i")).split("\n").length;
    await cluster.configure(["MaxArraySize=4", `MaxJobCount=${held + 4}`]);
    await workspace.write(
      "p.yaml",
      "name: p\naxes: { n: [1, 2, 3, 4, 5, 6] }\nnodes:\n  a: { type: run.write, with: { text: w$(n) } }\n",
    );
    const run = workspace.start(["run", "p.yaml", "--executor", "slurm", "--ui", "json"], env());
    await run.line(/Slurm takes no more for now \(Slurm temporarily unable to accept/);
    await cluster.configure([]);
    const result = await run.result;
    expect(result.exitCode, result.stderr).toBe(0);
    expect(warnings(eventsOf(result))[0]).toMatch(/^Slurm takes smaller arrays only \(.*job array spec/);
    expect(workspace.executions()).toHaveLength(6);
  });

  it("goes on after being preempted, from its checkpoint where it has one", async () => {
    await workspace.write(
      "p.yaml",
      `name: p
executor: slurm
slurm: { partition: low }
nodes:
  net: { type: run.train, with: { name: net, steps: 6, gateAt: 3 }, resources: { cpu: 2 } }
  plain: { type: run.gated, with: { name: plain } }
`,
    );
    const run = start();
    await Promise.all(["net-3", "plain"].map((gate) => workspace.reached(gate)));
    const urgent = ["--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 600"];
    const other = (await cluster.slurm("sbatch", "--parsable", ...urgent)).trim();
    for (const step of ["net", "plain"]) {
      await run.line(new RegExp(`"step":"${step}".*preempted on n2: submitted again`));
    }
    await cluster.slurm("scancel", other);
    await Promise.all(["net-3", "plain"].map((gate) => workspace.open(gate)));
    const result = await run.result;
    expect(result.exitCode, result.stderr).toBe(0);
    expect(workspace.executions().toSorted()).toEqual([
      "gated plain",
      "gated plain",
      "train net from 0",
      "train net from 3",
    ]);
  });

  it("says what a person did, what Slurm refuses, what a worker died of, and what a step waits for", async () => {
    await write(
      gated("cancelled") +
        "  refused: { type: run.write, with: { text: r }, slurm: { partition: nowhere } }\n" +
        "  crashed: { type: run.flaky, with: { name: crashed, failures: 1, how: exit } }\n" +
        "  killed: { type: run.flaky, with: { name: killed, failures: 1, how: kill }, retries: 1 }\n" +
        `  held: { type: run.write, with: { text: h }, slurm: { options: [--hold, --nodelist=n1] } }\n`,
    );
    const run = workspace.start(["run", "p.yaml", "--ui", "json", "--keep-going"], env());
    await workspace.reached("cancelled");
    await run.line(/waits \(JobHeldUser\): it is held/);
    const queue = await cluster.slurm("squeue", "-h", "-o", "%i %T %r");
    const held = /^(\d+)_\S+ PENDING JobHeldUser/m.exec(queue)?.[1] as string;
    await cluster.slurm("scontrol", "release", held);
    await run.line(/"type":"step-succeeded","step":"held"/);
    await run.line(/"type":"step-failed","step":"crashed"/);
    await cluster.slurm("scancel", (await elementOf("cancelled")).id);
    const result = await run.result;
    expect(result.exitCode).toBe(1);
    const said = failures(eventsOf(result)).toSorted();
    expect(said).toHaveLength(4);
    expect(said[0]).toMatch(/^cancelled: \d+_\d was cancelled from outside on n1/);
    expect(said[1]).toMatch(
      /^crashed: the worker of \d+_\d ended on n1 without a result \(FAILED\): last words/,
    );
    expect(said[2]).toMatch(/^killed: the worker of \d+_\d ended on n1 without a result \(FAILED\)/);
    expect(said[3]).toMatch(/^refused: Slurm refused it: .*[Ii]nvalid partition/);
    expect(eventsOf(result).some((event) => event.type === "step-succeeded" && event.step === "killed")).toBe(
      true,
    );
  });

  it("stops on all nodes, with checkpoints at first and at once when asked again, and goes on from there", async () => {
    const on = (node: string): string => `, slurm: { options: [--nodelist=${node}, --nodes=1] }`;
    await workspace.write(
      "p.yaml",
      `name: p
executor: slurm
nodes:
  net: { type: run.train, with: { name: net, steps: 6, gateAt: 3 }${on("n1")} }
  deaf: { type: run.gated, with: { name: deaf, deaf: true }${on("n2")} }
  waits: { type: run.write, with: { text: waits }, slurm: { options: [--hold] } }
`,
    );
    const first = start();
    await Promise.all([workspace.reached("net-3"), workspace.reached("deaf")]);
    await first.line(/waits \(JobHeldUser\)/);
    const submitted = await tokens();
    first.kill("SIGTERM");
    await first.line(/"type":"step-cancelled","step":"net","checkpointed":true/);
    await first.line(/"type":"step-cancelled","step":"waits"/);
    first.kill("SIGINT");
    const stopped = await first.result;
    expect(stopped.exitCode).toBe(130);
    expect(await readdir(join(workspace.store, "slurm"))).toEqual([]);
    const names = submitted.map((token) => `ranflow-${token}`).join(",");
    expect(submitted.length).toBeGreaterThan(1);
    await until(async () => (await cluster.slurm("squeue", "-h", `--name=${names}`)) === "");
    await workspace.write(
      "p.yaml",
      (await readFile(join(workspace.folder, "p.yaml"), "utf8")).replace("[--hold]", "[]"),
    );
    await Promise.all([workspace.open("net-3"), workspace.open("deaf")]);
    const second = await start().result;
    expect(second.exitCode, second.stderr).toBe(0);
    expect(workspace.executions().toSorted()).toEqual([
      "gated deaf",
      "gated deaf",
      "train net from 0",
      "train net from 3",
      "write waits",
    ]);
  });

  it("tells how much memory was asked for, and used, where that was not enough", async () => {
    await write("  hungry: { type: run.hungry, with: { bytes: 600000000 }, resources: { memory: 250M } }\n");
    const result = await start().result;
    expect(result.exitCode).toBe(1);
    expect(failures(eventsOf(result))[0]).toMatch(
      /^hungry: \d+_0 ran out of memory on n1: it asked for 250 MiB, and held at least \d+ MiB$/,
    );
  });

  it.skipIf(!hasMounts)("examines a node, and says what it lacks", async () => {
    const onNode = await cluster.isolate("n2");
    const node = process.execPath;
    const doctor = async (): Promise<string> => {
      const args = ["doctor", "--executor", "slurm", "--sbatch=--nodelist=n2", "--sbatch=--mem=1500M"];
      const { exitCode, stdout } = await workspace.run(args, env());
      const said = stdout.slice(stdout.indexOf("\nslurm\n"));
      return `exit ${exitCode}: ${said}`;
    };
    expect(await doctor()).toMatch(/^exit 0: \nslurm\n {2}\+ n2 answered: \d+ cores, Node v/);

    await onNode("mount", "-t", "tmpfs", "none", workspace.folder);
    expect(await doctor()).toMatch(/^exit 1: \nslurm\n {2}- n2 \(FAILED\) wrote nothing into .*\n.*--store/);
    await onNode("umount", workspace.folder);

    await onNode("mount", "--bind", "/dev/null", node);
    expect(await doctor()).toMatch(/^exit 1: \nslurm\n {2}- there is no \/.*node on n2\n.*install ranflow/);
    await onNode("umount", node);

    // Another Node, and one that lacks a package.
    const real = join(workspace.folder, "node");
    const other = join(workspace.folder, "other");
    const wasm = join(import.meta.dirname, "../../node_modules/@tensorflow/tfjs-backend-wasm");
    await writeFile(real, "");
    await writeFile(`${other}.mjs`, 'Object.defineProperty(process, "version", { value: "v18.0.0" });');
    await writeFile(other, `#!/bin/sh\nexec '${real}' --import '${other}.mjs' "$@"\n`, { mode: 0o755 });
    await onNode("mount", "--bind", node, real);
    await onNode("mount", "--bind", other, node);
    await onNode("mount", "-t", "tmpfs", "none", wasm);
    const said = await doctor();
    expect(said).toMatch(/^exit 1/);
    expect(said).toContain(`- Node is v18.0.0 on n2, and ${process.version} here`);
    expect(said).toMatch(/- the backend wasm works here, and not on n2: /);
    for (const path of [wasm, node, real]) await onNode("umount", path);
  });

  it("goes on in another submission where the time was not enough, and fails where that leads nowhere", async () => {
    const { events, executions, exitCode } = await slow;
    expect(exitCode).toBe(1);
    expect(failures(events)[0]).toMatch(
      /^deaf: \d+_\d used up its 60 s \(slurm.time\) on n3, and saved no checkpoint/,
    );
    expect(executedSteps(events)).toEqual(["net"]);
    expect(executions.filter((line) => line.startsWith("train"))).toEqual([
      "train net from 0",
      "train net from 3",
    ]);
  });
});

async function objects(store: string): Promise<readonly string[]> {
  return (await readdir(join(store, "objects"), { recursive: true })).toSorted();
}
