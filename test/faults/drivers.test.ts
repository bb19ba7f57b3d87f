/** Four drivers that run one pipeline of 500 steps on one store at once. */
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createWorkspace, executedSteps, wholeEvents } from "../rig/cli.ts";
import type { CliResult, Workspace } from "../rig/cli.ts";
import { checkOwners } from "./checks.ts";
import { ledgerHas, ledgerPath, readLedger, timesDone } from "./ledger.ts";
import { viewStore } from "./store-view.ts";
import type { StoreView } from "./store-view.ts";

const width = 166;
const pipeline = `
name: five-hundred
axes:
  n: [${Array.from({ length: width }, (_, n) => n).join(", ")}]
nodes:
  first: { type: fault.text, with: { name: first, pause: 0 } }
  a: { type: fault.text, in: { texts: first }, with: { name: a-$(n), pause: 0 } }
  b: { type: fault.text, in: { texts: a }, with: { name: b-$(n), pause: 0 } }
  c: { type: fault.text, in: { texts: [a, b] }, with: { name: c-$(n), pause: 0 } }
  last: { type: fault.text, in: { texts: { collect: c } }, with: { name: last, pause: 0 } }
`;
const steps = 3 * width + 2;
const run = ["run", "p.yaml", "--ui", "json"];

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace({ nodes: join(import.meta.dirname, "fault-nodes.ts") });
  await workspace.write("p.yaml", pipeline);
});
afterEach(() => workspace.remove());

/** Every step is there, as its executor says that it made it, and the drivers that lived saw the same. */
async function checkAll(ends: readonly CliResult[]): Promise<StoreView> {
  const view = await viewStore(workspace.store, new Map());
  expect(view.results.size).toBe(steps);
  expect(view.problems).toEqual([]);
  for (const { stdout } of ends) {
    const events = wholeEvents(stdout);
    checkOwners(events, view);
    const keys = events.flatMap((event) =>
      event.type === "step-succeeded" || event.type === "step-cached"
        ? [event.key]
        : event.type === "steps-cached"
          ? event.keys
          : [],
    );
    expect([...view.results.values()].map(({ key }) => key)).toEqual(expect.arrayContaining(keys));
  }
  return view;
}

describe("four drivers on one store", () => {
  it("execute each of 500 steps once", async () => {
    const drivers = Array.from({ length: 4 }, () => workspace.start(run));
    const ends = await Promise.all(drivers.map(({ result }) => result));
    for (const { exitCode, stderr } of ends) expect(exitCode, stderr).toBe(0);
    await checkAll(ends);
    const times = timesDone(readLedger(ledgerPath(workspace.folder)));
    expect([...times.values()]).toEqual(Array.from({ length: steps }, () => 1));
    const executed = ends.flatMap(({ stdout }) => executedSteps(wholeEvents(stdout)));
    expect(new Set(executed).size).toBe(steps);
    expect(executed).toHaveLength(steps);
  });

  it("execute none again that was finished when one of them was killed", async () => {
    const drivers = Array.from({ length: 4 }, () => workspace.start(run));
    const [doomed, ...others] = drivers as [(typeof drivers)[0], ...typeof drivers];
    await ledgerHas(workspace.folder, steps / 3, doomed.result);
    await doomed.line('"type":"step-started"');
    doomed.kill("SIGKILL");
    const ends = await Promise.all(others.map(({ result }) => result));
    for (const { exitCode, stderr } of ends) expect(exitCode, stderr).toBe(0);
    const killed = await doomed.result;
    expect(killed.signal).toBe("SIGKILL");
    await checkAll([killed, ...ends]);
    const events = wholeEvents(killed.stdout);
    const started = events.flatMap((event) => (event.type === "step-started" ? [event.step] : []));
    const finished = new Set<string>(executedSteps(events));
    const unfinished = started
      .filter((step) => !finished.has(step))
      .map((step) => step.replace(/\[n=(\d+)\]/, "-$1"));
    for (const [name, times] of timesDone(readLedger(ledgerPath(workspace.folder)))) {
      expect(times, name).toBeLessThanOrEqual(unfinished.includes(name) ? 2 : 1);
    }
  });
});
