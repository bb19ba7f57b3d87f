import { readFileSync, rmSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import { childrenOf, createWorkspace, eventsOfRuns, executedSteps, gone } from "../rig/cli.ts";
import type { Workspace } from "../rig/cli.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await createWorkspace();
});
afterEach(() => workspace.remove());

const count = 12;

/** A node of items with these fields, and one that reads it. */
const pipeline = (fields: string, parameters = ""): string => `
name: shards
nodes:
  text: { type: run.write, with: { text: "no "  } }
  items: { type: run.items, in: { text: text }, with: { count: ${count}${parameters} }${fields} }
  after: { type: run.first-letter, in: { text: items } }
`;

const run = async (
  text: string,
  ...args: readonly string[]
): Promise<{ steps: readonly string[]; events: readonly RunEvent[]; exitCode: number | undefined }> => {
  await workspace.write("p.yaml", text);
  const { events, result } = await workspace.events(["run", "p.yaml", ...args]);
  return { steps: executedSteps(events), events, exitCode: result.exitCode };
};

/** Numbers of the items that were made, each as often as it was made. */
const itemsMade = (): number[] =>
  workspace
    .executions()
    .flatMap((line) => Number(/^item (\d+)$/.exec(line)?.[1] ?? Number.NaN))
    .filter((item) => !Number.isNaN(item))
    .toSorted((a, b) => a - b);

const everyItem = Array.from({ length: count }, (_, item) => item);

const shardIds = (shards: number): string[] =>
  Array.from({ length: shards }, (_, index) => `items#${index + 1}/${shards}`);

const keyOf = (events: readonly RunEvent[], step: string): string | undefined =>
  events.findLast((event) => event.type === "step-succeeded" && event.step === step)?.["key" as never];

describe("a step in shards", () => {
  it("has the key and the bytes of the step as a whole, however many there are", async () => {
    const whole = await run(pipeline(""));
    const key = keyOf(whole.events, "items");
    expect(key).toBeDefined();
    const folder = workspace;
    const shown = async (): Promise<string> =>
      /sha256:\w+/.exec((await workspace.run(["show", "items"])).stdout)?.[0] ?? "nothing";
    const digest = await shown();
    for (const shards of [1, 2, 17]) {
      workspace = await createWorkspace();
      const { steps, events } = await run(pipeline(`, shards: ${shards}`));
      expect(steps.filter((step) => step.includes("#")).toSorted()).toEqual(
        shards === 1 ? [] : shardIds(shards).toSorted(),
      );
      expect(steps.slice(-2)).toEqual(["items", "after"]);
      expect(keyOf(events, "items")).toBe(key);
      expect(itemsMade()).toEqual(everyItem);
      expect(await shown()).toBe(digest);
      await workspace.remove();
    }
    workspace = folder;
  });

  it("is there where the whole was made, and the whole where the shards were", async () => {
    await run(pipeline(""));
    const sharded = await run(pipeline(", shards: 4"));
    expect(sharded.steps).toEqual([]);
    const { stdout } = await workspace.run(["plan", "p.yaml"]);
    expect(stdout).toContain("7 steps, 0 to execute");
    // Another number of items: what there is of them comes from the memo, into shards as into the whole.
    const more = await run(pipeline(", shards: 4").replace(`count: ${count}`, `count: ${count + 4}`));
    expect(more.steps).toHaveLength(6);
    expect(itemsMade()).toEqual([...everyItem, 12, 13, 14, 15]);
    expect((await run(pipeline("").replace(`count: ${count}`, `count: ${count + 4}`))).steps).toEqual([]);
  });

  it("is planned as what it is: shards and the step that joins them", async () => {
    await workspace.write("p.yaml", pipeline(", shards: 3"));
    await run(pipeline(", shards: 3"), "text");
    const plan = await workspace.run(["plan", "p.yaml"]);
    expect(plan.stdout).toContain("6 steps, between 4 and 5 to execute");
    expect(plan.stdout).toMatch(/items +\. +4 +/);
    await run(pipeline(", shards: 3"));
    const log = await workspace.run(["log", "items#2/3"]);
    expect(log.stdout).toContain("share 2 of 3: made 4 items");
    const joined = await workspace.run(["log", "items"]);
    expect(joined.stdout).toContain("made 0 items, 12 more came from the memo");
    const explained = await workspace.run(["explain", "items#2/3"]);
    expect(explained.stdout).toMatch(/^items#2\/3: hit/);
    expect(explained.exitCode).toBe(0);
    // What says that shards were made goes with the join: nothing dangles.
    const verified = await workspace.run(["cache", "verify"]);
    expect(verified.exitCode).toBe(0);
  });

  it("does work that two nodes have in common once, whatever their shards", async () => {
    const twice = pipeline(", shards: 3").replace(
      "  after:",
      `  again: { type: run.items, in: { text: text }, with: { count: ${count} }, shards: 2 }\n  after:`,
    );
    const { steps } = await run(twice);
    expect(itemsMade()).toEqual(everyItem);
    expect(steps.filter((step) => step.startsWith("again"))).toEqual([]);
  });

  it("does each shard once where two processes run at the same time", async () => {
    await workspace.write("p.yaml", pipeline(", shards: 4"));
    const processes = [workspace.start(["run", "p.yaml"]), workspace.start(["run", "p.yaml"])];
    for (const { result } of processes) expect((await result).exitCode).toBe(0);
    expect(itemsMade()).toEqual(everyItem);
  });

  it("loses no finished item to kill -9", async () => {
    await workspace.write("p.yaml", pipeline(", shards: 4", ", gateAt: 6"));
    const first = workspace.start(["run", "p.yaml", "--slots", "cpu=1"]);
    await workspace.reached("items");
    const workers = await childrenOf(first.pid);
    first.kill("SIGKILL");
    await first.result;
    for (const worker of workers) await gone(worker);
    const before = itemsMade();
    // A shard's result may still be on its way into the index; what the run has told of as finished is there.
    const finished = executedSteps(eventsOfRuns(workspace.store));
    // Shards 1 and 2 had come first; item 6 is of shard 3.
    expect(before).toEqual(expect.arrayContaining([0, 1, 4, 5, 8, 9]));
    expect(before).not.toContain(6);
    await workspace.open("items");
    const { steps, exitCode } = await run(pipeline(", shards: 4", ", gateAt: 6"));
    expect(exitCode).toBe(0);
    expect(steps.filter((step) => finished.includes(step))).toEqual([]);
    expect(itemsMade()).toEqual(everyItem);
  });

  it("stops at Ctrl-C with what is finished, and goes on from there", async () => {
    await workspace.write("p.yaml", pipeline(", shards: 4", ", gateAt: 6"));
    const first = workspace.start(["run", "p.yaml", "--slots", "cpu=1"]);
    await workspace.reached("items");
    first.kill("SIGINT");
    expect((await first.result).exitCode).toBe(130);
    await workspace.open("items");
    expect((await run(pipeline(", shards: 4", ", gateAt: 6"))).exitCode).toBe(0);
    expect(itemsMade()).toEqual(everyItem);
  });

  it("fails with the shard that fails, and then pays for that one alone", async () => {
    const { events, exitCode } = await run(pipeline(", shards: 4", ", failAt: 6"), "--keep-going");
    expect(exitCode).toBe(1);
    expect(events.find(({ type }) => type === "step-failed")).toMatchObject({
      step: "items#3/4",
      error: { kind: "node", message: "item 6 cannot be made", at: expect.stringContaining("p.yaml:5") },
    });
    const skipped = events.flatMap((event) =>
      event.type === "step-skipped" ? [[event.step, event.because]] : [],
    );
    expect(skipped).toEqual([
      ["items", "items#3/4"],
      ["after", "items#3/4"],
    ]);
    const again = await run(pipeline(", shards: 4"));
    expect(again.steps).toEqual(["items#3/4", "items", "after"]);
    expect(itemsMade()).toEqual(everyItem);
  });

  it("makes every item anew, once, with --force and where nothing is kept", async () => {
    await run(pipeline(", shards: 3"));
    const forced = await run(pipeline(", shards: 3"), "--force", "items");
    // The same bytes again: what follows has nothing to do.
    expect(forced.steps.toSorted()).toEqual([...shardIds(3), "items"].toSorted());
    expect(itemsMade()).toEqual([...everyItem, ...everyItem].toSorted((a, b) => a - b));
    const uncached = await run(pipeline(", shards: 3, cache: false"));
    expect(uncached.steps.toSorted()).toEqual([...shardIds(3), "items"].toSorted());
    expect(itemsMade()).toHaveLength(3 * count);
  });

  it("is made again from the memo where its bytes are gone and somebody needs them", async () => {
    await run(pipeline(", shards: 3"));
    const shown = (await workspace.run(["show", "items"])).stdout;
    const path = /\/\S+\/objects\/\S+/.exec(shown)?.[0] ?? "";
    rmSync(path);
    const { steps, exitCode } = await run(
      `${pipeline(", shards: 3")}  more: { type: run.join, in: { texts: items } }\n`,
    );
    expect(exitCode).toBe(0);
    expect(steps.toSorted()).toEqual([...shardIds(3), "items", "more"].toSorted());
    expect(itemsMade()).toEqual(everyItem);
    expect(readFileSync(path, "utf8")).toContain("no 11 of seed 0");
  });
});
