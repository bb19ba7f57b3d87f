/** Four drivers that run one pipeline of 500 steps on one store at once. */
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import type { Key } from "../../engine/model/ids.ts";
import { createWorkspace, executedSteps, wholeEvents } from "../rig/cli.ts";
import type { CliProcess, CliResult, Workspace } from "../rig/cli.ts";
import { checkOwners } from "./checks.ts";
import { ledgerHas, ledgerPath, readLedger, timesDone } from "./ledger.ts";
import { howMany } from "./settings.ts";
import { viewStore } from "./store-view.ts";

/** `3 * width + 2` steps. */
const pipeline = (width: number): string => `
name: wide
axes:
  n: [${Array.from({ length: width }, (_, n) => n).join(", ")}]
nodes:
  first: { type: fault.text, with: { name: first, pause: 0 } }
  a: { type: fault.text, in: { texts: first }, with: { name: a-$(n), pause: 0 } }
  b: { type: fault.text, in: { texts: a }, with: { name: b-$(n), pause: 0 } }
  c: { type: fault.text, in: { texts: [a, b] }, with: { name: c-$(n), pause: 0 } }
  last: { type: fault.text, in: { texts: { collect: c } }, with: { name: last, pause: 0 } }
`;

let workspace: Workspace;
const freshWorkspace = (): Promise<Workspace> =>
  createWorkspace({ nodes: join(import.meta.dirname, "fault-nodes.ts") });
beforeEach(async () => {
  workspace = await freshWorkspace();
});
afterEach(() => workspace.remove());

const startFour = async (width: number): Promise<readonly CliProcess[]> => {
  await workspace.write("p.yaml", pipeline(width));
  return Array.from({ length: 4 }, () =>
    workspace.start(["run", "p.yaml", "--ui", "json", "--slots", "cpu=2"]),
  );
};

/** One is killed when as many steps as the grid is wide are done, some of them by itself; its end comes first. */
async function killOneOfFour(width: number): Promise<readonly CliResult[]> {
  const drivers = await startFour(width);
  const [doomed] = drivers as readonly [CliProcess, ...CliProcess[]];
  await ledgerHas(workspace.folder, width, doomed.result);
  await doomed.line('"type":"step-started"');
  doomed.kill("SIGKILL");
  return Promise.all(drivers.map(({ result }) => result));
}

/** Every step is there, made by the run that says so, and a driver that came to its end has seen them all. */
async function checkAll(ends: readonly CliResult[], steps: number): Promise<void> {
  const view = await viewStore(workspace.store, new Map());
  expect(view.problems).toEqual([]);
  expect(view.results.size).toBe(steps);
  const keys = new Set([...view.results.values()].map(({ key }) => key));
  for (const { exitCode, signal, stdout, stderr } of ends) {
    const events = wholeEvents(stdout);
    checkOwners(events, view);
    if (signal === "SIGKILL") continue;
    expect(exitCode, stderr).toBe(0);
    expect(new Set(events.flatMap(keysOf))).toEqual(keys);
  }
}

function keysOf(event: RunEvent): readonly Key[] {
  if (event.type === "steps-cached") return event.keys;
  return event.type === "step-succeeded" || event.type === "step-cached" ? [event.key] : [];
}

describe("four drivers on one store", () => {
  it("execute each of 500 steps once", async () => {
    const drivers = await startFour(166);
    const ends = await Promise.all(drivers.map(({ result }) => result));
    await checkAll(ends, 500);
    const times = timesDone(readLedger(ledgerPath(workspace.folder)));
    expect([...times.values()]).toEqual(Array.from({ length: 500 }, () => 1));
    const executed = ends.flatMap(({ stdout }) => executedSteps(wholeEvents(stdout)));
    expect(executed).toHaveLength(500);
  });

  it("execute none again that was finished when one of them was killed", async () => {
    const width = howMany({ short: 40, long: 166 });
    let ends = await killOneOfFour(width);
    // Where the others were so fast that there was nothing left for it, it has come to its end like them.
    while (ends[0]?.signal !== "SIGKILL") {
      await checkAll(ends, 3 * width + 2);
      await workspace.remove();
      workspace = await freshWorkspace();
      ends = await killOneOfFour(width);
    }
    await checkAll(ends, 3 * width + 2);
    const events = wholeEvents(ends[0]?.stdout ?? "");
    const finished = new Set<string>(executedSteps(events));
    const unfinished = events.flatMap((event) =>
      event.type === "step-started" && !finished.has(event.step)
        ? [event.step.replace(/\[n=(\d+)\]/, "-$1")]
        : [],
    );
    for (const [name, times] of timesDone(readLedger(ledgerPath(workspace.folder)))) {
      expect(times, name).toBeLessThanOrEqual(unfinished.includes(name) ? 2 : 1);
    }
  });
});
