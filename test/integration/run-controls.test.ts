import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openStore } from "../../cache/store.ts";
import type { Store } from "../../cache/types.ts";
import { createLocalExecutor } from "../../engine/executors/local.ts";
import type { Executor } from "../../engine/executors/types.ts";
import { loadGrid } from "../../engine/load/index.ts";
import type { RunEvent } from "../../engine/model/events.ts";
import type { StepId } from "../../engine/model/ids.ts";
import { createPlanner } from "../../engine/plan/planner.ts";
import { createAnswerer } from "../../engine/run/answers.ts";
import { startRun } from "../../engine/run/run-grid.ts";
import type { RunOptions, StartedRun } from "../../engine/run/types.ts";
import { appears } from "../rig/cli.ts";
import { library } from "./run-nodes.ts";

let folder: string;
let store: Store;
let executor: Executor;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ranflow-run-"));
  process.env["RUN_TEST_FOLDER"] = folder;
  const opened = await openStore({ root: join(folder, "store") });
  if (!opened.ok) throw new Error(opened.error.message);
  store = opened.value;
  executor = createLocalExecutor({
    storeRoot: store.root,
    libraryUrls: [pathToFileURL(join(import.meta.dirname, "run-nodes.ts")).href],
    answer: createAnswerer(store),
    warm: 2,
    devices: [],
  });
});

afterEach(async () => {
  await executor.close();
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

interface Watched extends StartedRun {
  readonly events: readonly RunEvent[];
  /** Resolves at the first event, from now on or before, that holds. */
  until(holds: (event: RunEvent) => boolean): Promise<void>;
}

async function start(yaml: string, options: Partial<RunOptions> = {}): Promise<Watched> {
  const path = join(folder, "p.yaml");
  await writeFile(path, yaml);
  const loaded = await loadGrid({ path, cwd: folder, library, sets: [] });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error.map(({ message }) => message)));
  const { grid } = loaded.value;
  const events: RunEvent[] = [];
  const lookers = new Set<() => void>();
  const started = startRun({
    grid,
    planner: createPlanner({ grid, store }),
    store,
    executor,
    sink: (event) => {
      events.push(event);
      for (const look of lookers) look();
    },
    run: await store.createRun(),
    version: "test",
    invocation: { sets: [], cwd: folder },
    options: {
      slots: { cpu: 2, memory: 2 ** 30, gpu: 0, other: {} },
      keepGoing: true,
      backend: "cpu",
      checkpointMinutes: 5,
      backoff: () => 1,
      grace: 100,
      ...options,
    },
  });
  return {
    ...started,
    events,
    until: (holds) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!events.some(holds)) return;
          lookers.delete(look);
          resolve();
        };
        lookers.add(look);
        look();
      }),
  };
}

const executions = async (): Promise<readonly string[]> => {
  const path = join(folder, "executions.log");
  return existsSync(path) ? (await readFile(path, "utf8")).trimEnd().split("\n") : [];
};

const gated = (deaf: boolean): string => `
name: gated
nodes:
  first:
    type: run.gated
    with: { name: first, deaf: ${deaf} }
  after:
    type: run.first-letter
    in: { text: first }
  apart:
    type: run.gated
    with: { name: apart }
`;

it("serves its first step by the process that it started while it told what is planned", async () => {
  const run = await start("name: p\nnodes:\n  a: { type: run.write, with: { text: a } }\n");
  expect(await run.outcome).toMatchObject({ outcome: "succeeded" });
  const workers = run.events.flatMap((event) => (event.type === "step-started" ? [event.worker] : []));
  expect(workers).toEqual([0]);
});

it("cancels one step and what depends on it; the rest goes on", async () => {
  const run = await start(gated(false));
  await appears(folder, "first.reached");
  run.controls.cancel("first" as StepId);
  await run.until((event) => event.type === "step-cancelled");
  await writeFile(join(folder, "apart.open"), "");
  expect(await run.outcome).toMatchObject({ kind: "finished", outcome: "failed" });
  expect(run.events.find(({ type }) => type === "step-skipped")).toMatchObject({
    step: "after",
    because: "first",
  });
  expect(run.events.some((event) => event.type === "step-succeeded" && event.step === "apart")).toBe(true);
});

it("kills a cancelled step that does not listen when its time to save is over", async () => {
  const run = await start(gated(true));
  await appears(folder, "first.reached");
  await writeFile(join(folder, "apart.open"), "");
  run.controls.cancel("first" as StepId);
  await run.until((event) => event.type === "step-cancelled" && event.step === "first");
  expect(await run.outcome).toMatchObject({ outcome: "failed" });
});

it("ends a step that does not listen when its timeout is over", async () => {
  const run = await start(
    "name: slow\nnodes:\n  slow:\n    type: run.gated\n    with: { name: shut, deaf: true }\n    timeout: 0.05s\n",
  );
  expect(await run.outcome).toMatchObject({ outcome: "failed" });
  expect(run.events.find(({ type }) => type === "step-failed")).toMatchObject({ error: { kind: "timeout" } });
});

it("queues failed steps again, and what was skipped because of them", async () => {
  const run = await start(`
name: again
nodes:
  flaky:
    type: run.flaky
    with: { name: here, failures: 1, how: throw }
  after:
    type: run.first-letter
    in: { text: flaky }
  apart:
    type: run.gated
    with: { name: apart }
`);
  await run.until((event) => event.type === "step-skipped");
  await appears(folder, "apart.reached");
  run.controls.retryFailed();
  await run.until((event) => event.type === "step-succeeded" && event.step === "after");
  await writeFile(join(folder, "apart.open"), "");
  expect(await run.outcome).toMatchObject({ outcome: "succeeded" });
  expect((await executions()).filter((line) => line.startsWith("flaky"))).toHaveLength(2);
});

it("gives memory, named resources and GPU numbers to as many steps as there are", async () => {
  const run = await start(
    `
name: slots
axes:
  n: [1, 2, 3]
nodes:
  step:
    type: run.gated
    with: { name: g$(n) }
    resources: { gpu: 1, licence: 1 }
`,
    { slots: { cpu: 8, memory: 2 ** 30, gpu: 2, other: { licence: 5 } } },
  );
  const startedAt = (event: RunEvent): number => (event.type === "step-started" ? 1 : 0);
  await appears(folder, "g1.reached");
  await appears(folder, "g2.reached");
  expect(run.events.reduce((sum, event) => sum + startedAt(event), 0)).toBe(2);
  for (const n of [1, 2, 3]) await writeFile(join(folder, `g${n}.open`), "");
  expect(await run.outcome).toMatchObject({ outcome: "succeeded" });
  const gpus = run.events.flatMap((event) => (event.type === "step-started" ? [event.gpus?.[0]] : []));
  expect(new Set(gpus.slice(0, 2))).toEqual(new Set([0, 1]));
  expect([0, 1]).toContain(gpus[2]);
});

it("refuses what asks for more than there is", async () => {
  const run = await start(
    "name: big\nnodes:\n  big:\n    type: run.write\n    with: { text: x }\n    resources: { cpu: 3 }\n",
  );
  expect(await run.outcome).toMatchObject({
    kind: "refused",
    diagnostics: [{ code: "not-enough-slots", message: "step big asks for 3 cpu, but there is 2 cpu" }],
  });
  expect(run.events).toEqual([]);
});

it("starts no process beside those that are busy or starting", async () => {
  const texts = Array.from({ length: 200 }, (_, i) => `t${i}`).join(", ");
  const run = await start(`
name: many
axes: { text: [${texts}] }
nodes:
  write: { type: run.write, with: { text: $(text) } }
`);
  expect(await run.outcome).toMatchObject({ outcome: "succeeded" });
  expect(await executions()).toHaveLength(200);
  const processes = await readFile(join(folder, "processes.log"), "utf8");
  expect(processes.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
});
