/** The shipped quickstart, made small, under `kill -9`: of its driver, of its workers, and beside a second driver. */
import { copyFile, readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import { childrenOf, createWorkspace, wholeEvents } from "../rig/cli.ts";
import type { Workspace } from "../rig/cli.ts";

// Whole pipelines on a machine that does other work too.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const root = join(import.meta.dirname, "..", "..");
const sets = ["pairs=40", "targets=8", "cxr=60", "chexpert=24", "attackSteps=1", "epochs=2", "headEpochs=2"];
const options = sets.flatMap((set) => ["--set", `inputs.${set}`]);
const run = ["run", "p.yaml", "--backend", "wasm", "--checkpoint-minutes", "0", ...options];
/** What a reader of the run gets: byte for byte the same, whatever happened on the way. */
const products = ["table/table.csv", "table/table.json", "table/table.md", "figure/figure.svg"];

async function quickstart(): Promise<Workspace> {
  const workspace = await createWorkspace({ nodes: join(root, "nodes", "index.ts") });
  await copyFile(join(root, "pipelines", "quickstart.yaml"), join(workspace.folder, "p.yaml"));
  return workspace;
}

async function productsOf({ store }: Workspace): Promise<readonly string[]> {
  return Promise.all(products.map((name) => readFile(join(store, "results", "quickstart", name), "utf8")));
}

function executedKeys(events: readonly RunEvent[]): readonly string[] {
  return events.flatMap((event) =>
    event.type === "step-succeeded" && event.sharedWith === undefined ? [event.key] : [],
  );
}

let whole: Workspace;
let uninterrupted: { readonly keys: readonly string[]; readonly products: readonly string[] };

beforeAll(async () => {
  whole = await quickstart();
  const { events, result } = await whole.events(run);
  if (result.exitCode !== 0) throw new Error(`the uninterrupted run failed: ${result.stderr}`);
  uninterrupted = { keys: executedKeys(events), products: await productsOf(whole) };
});
afterAll(() => whole.remove());

describe("quickstart", () => {
  it("killed five times, ends with the same bytes, and no step that was seen to finish executes again", async () => {
    const workspace = await quickstart();
    const seen: string[] = [];
    const rounds = [
      { lines: 3, victim: "driver" },
      { lines: 40, victim: "worker" },
      { lines: 60, victim: "driver" },
      { lines: 130, victim: "worker" },
      { lines: 160, victim: "driver" },
    ];
    for (const { lines, victim } of rounds) {
      const started = workspace.start([...run, "--ui", "json"]);
      await started.lines(lines);
      const [worker] = await childrenOf(started.pid).catch(() => []);
      if (victim === "driver") started.kill("SIGKILL");
      else if (worker !== undefined) process.kill(worker, "SIGKILL");
      const { stdout, stderr } = await started.result;
      expect(stderr).not.toContain("internal error");
      seen.push(...executedKeys(wholeEvents(stdout)));
    }
    const { events, result } = await workspace.events(run);
    expect(result.exitCode, result.stderr).toBe(0);
    seen.push(...executedKeys(events));
    expect(new Set(seen).size).toBe(seen.length);
    for (const key of seen) expect(uninterrupted.keys).toContain(key);
    expect(await productsOf(workspace)).toEqual(uninterrupted.products);
    // A driver that dies right after a commit leaves that step's checkpoint, a worker that dies its unfinished output.
    expect((await workspace.run(["cache", "gc"])).exitCode).toBe(0);
    for (const folder of ["checkpoints", "tmp"]) {
      expect(await readdir(join(workspace.store, folder)), folder).toEqual([]);
    }
    expect((await workspace.run(["cache", "verify"])).exitCode).toBe(0);
    await workspace.remove();
  });

  it("run by two drivers on one store at once, executes every step once", async () => {
    const workspace = await quickstart();
    const both = await Promise.all([workspace.events(run), workspace.events(run)]);
    const keys = both.flatMap(({ events, result }) => {
      expect(result.exitCode, result.stderr).toBe(0);
      return executedKeys(events);
    });
    expect(keys.toSorted()).toEqual(uninterrupted.keys.toSorted());
    expect(await productsOf(workspace)).toEqual(uninterrupted.products);
    await workspace.remove();
  });
});
