/** What `ranflow plan` expects steps to take, from what steps like them took. In these stores every step took one second. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Store } from "../../cache/types.ts";
import type { PlanEstimate } from "../../engine/model/plan.ts";
import { createPlanner } from "../../engine/plan/planner.ts";
import { estimateText } from "../../engine/report/estimate.ts";
import { estimatePlan } from "../../engine/run/plan-estimate.ts";
import { defineNode, port } from "../../engine/sdk.ts";
import type { NodeType } from "../../engine/sdk.ts";
import { execute, gather, gridOf, temporaryStore } from "./plan-rig.ts";
import type { StepSketch, Work } from "./plan-rig.ts";

let store: Store;
let remove: () => Promise<void>;
beforeEach(async () => ({ store, remove } = await temporaryStore()));
afterEach(() => remove());

/** Writes as many bytes as it is told. */
const data: NodeType = defineNode({
  type: "test.data",
  version: 1,
  summary: "Data",
  inputs: {},
  outputs: { out: port("text") },
  params: z.object({ size: z.number(), variant: z.string().default("") }),
  growth: { space: ({ params }) => params.size },
  run: async () => {},
});

const train: NodeType = defineNode({
  type: "test.train",
  version: 1,
  summary: "Trains",
  inputs: { data: port("text") },
  outputs: { out: port("text") },
  params: z.object({
    epochs: z.number().default(1),
    by: z.string().default("me"),
    method: z.string().default("a"),
  }),
  growth: {
    time: ({ bytes, params }) => params.epochs * bytes("data"),
    space: ({ bytes }) => bytes("data"),
    kind: ({ by }) => by,
  },
  run: async () => {},
});

/** Reads a folder; of some it knows how much is in them. */
const folder: NodeType = defineNode({
  type: "test.folder",
  version: 1,
  summary: "Reads a folder",
  inputs: {},
  outputs: { out: port("text") },
  params: z.object({
    root: z.string().meta({ path: true }),
    published: z.number().nullable().default(null),
  }),
  growth: { time: ({ written }) => written, published: ({ published }) => published ?? undefined },
  scan: async () => undefined,
  run: async () => {},
});

const work: Work = ({ id, params }, { inputs }) => {
  const size = Number(params["size"] ?? 100);
  return `${id}${JSON.stringify(inputs)}`.padEnd(size, ".").slice(0, size);
};

async function estimate(sketches: readonly StepSketch[]): Promise<PlanEstimate> {
  const grid = gridOf(sketches);
  const planner = createPlanner({ grid, store });
  await planner.start();
  return estimatePlan({ grid, planner, store });
}

const ran = (sketches: readonly StepSketch[]) => execute(gridOf(sketches, "before"), store, { work });
const nodeOf = ({ nodes }: PlanEstimate, name: string) => nodes.find(({ node }) => node === name);

describe("the estimate of a plan", () => {
  it("has nothing to say of what is in the store, and says so of what never ran", async () => {
    const steps: StepSketch[] = [{ id: "d", type: data, params: { size: 100 } }];
    const before = await estimate(steps);
    expect(before.nodes).toMatchObject([{ node: "d", steps: 1, records: 0, unknown: { time: 1, space: 1 } }]);
    expect(estimateText(before).heading.join()).toContain("nothing like these steps has run");
    await ran(steps);
    const after = await estimate(steps);
    expect(after).toEqual({ milliseconds: 0, longestPath: 0, bytes: 0, nodes: [] });
    expect(estimateText(after).heading).toEqual([]);
  });

  it("scales by what the node type says, through sizes that are not there yet", async () => {
    await ran([
      { id: "d", type: data, params: { size: 100 } },
      { id: "t", type: train, params: { epochs: 2 }, in: { data: "d" } },
    ]);
    const found = await estimate([
      { id: "d", type: data, params: { size: 700 } },
      { id: "t", type: train, params: { epochs: 6 }, in: { data: "d" } },
    ]);
    // Time: three times the epochs, seven times the data. Space: seven times.
    expect(nodeOf(found, "t")).toMatchObject({ milliseconds: 21_000, bytes: 700, stretch: 21 });
    expect(nodeOf(found, "d")).toMatchObject({ milliseconds: 1_000, bytes: 700, stretch: 1 });
    expect(found).toMatchObject({ milliseconds: 22_000, bytes: 1_400, longestPath: 22_000 });
    expect(estimateText(found).rows.map((row) => row.join(" "))).toContain(
      "test.train 1 21 s 21 s 700 B 1 result, for 21 times the work",
    );
  });

  it("counts work that steps share once, and tells the longest path from the sum", async () => {
    await ran([
      { id: "d", type: data, params: { size: 100 } },
      { id: "t", type: train, in: { data: "d" } },
    ]);
    const found = await estimate([
      { id: "d", type: data, params: { size: 100 } },
      { id: "t", type: train, params: { epochs: 3 }, in: { data: "d" } },
      { id: "same", type: train, params: { epochs: 3 }, in: { data: "d" } },
      { id: "other", type: train, params: { epochs: 5 }, in: { data: "d" } },
    ]);
    expect(found).toMatchObject({ milliseconds: 8_000, longestPath: 5_000 });
    expect(nodeOf(found, "same")).toBeUndefined();
  });

  it("goes by the records with most of the parameters, and compares no two kinds", async () => {
    await ran([
      { id: "d", type: data, params: { size: 100 } },
      { id: "a", type: train, params: { epochs: 1, method: "a" }, in: { data: "d" } },
      { id: "b", type: train, params: { epochs: 10, method: "b" }, in: { data: "d" } },
    ]);
    // Both took a second, so that an epoch of b takes a tenth of it.
    const next = (params: StepSketch["params"]): Promise<PlanEstimate> =>
      estimate([
        { id: "d", type: data, params: { size: 100 } },
        { id: "t", type: train, ...(params && { params }), in: { data: "d" } },
      ]);
    expect(await next({ epochs: 20, method: "a" })).toMatchObject({ milliseconds: 20_000 });
    expect(await next({ epochs: 20, method: "b" })).toMatchObject({ milliseconds: 2_000 });
    const other = await next({ by: "somebody else" });
    expect(nodeOf(other, "t")).toMatchObject({ unknown: { time: 1, space: 1 }, milliseconds: 0 });
  });

  it("knows of a folder that nobody has read what its type knows, and nothing without", async () => {
    await ran([
      { id: "f", type: folder, params: { root: "/here" } },
      { id: "t", type: train, in: { data: "f" } },
    ]);
    const of = (published: number | null): Promise<PlanEstimate> =>
      estimate([
        { id: "f", type: folder, params: { root: "/there", published } },
        { id: "t", type: train, in: { data: "f" } },
        { id: "g", type: gather, in: { rows: [[{}, "t"]] } },
      ]);
    const unread = await of(null);
    expect(nodeOf(unread, "f")).toMatchObject({ unknown: { time: 1, space: 1 } });
    expect(nodeOf(unread, "t")).toMatchObject({ unknown: { time: 1, space: 1 }, milliseconds: 0 });
    expect(estimateText(unread).heading.join()).toContain("none");
    const known = await of(5_000);
    expect(nodeOf(known, "f")).toMatchObject({ milliseconds: 50_000, bytes: 5_000 });
    expect(nodeOf(known, "t")).toMatchObject({ milliseconds: 50_000, bytes: 5_000 });
    // Of a type that never ran, only that is said.
    expect(estimateText(known).heading.join()).toContain("at least 1m 40s of work");
    expect(estimateText(known).notes.join()).toMatch(/Not in it.*1 step of test\.gather/);
  });

  it("takes no time of a step that found its items in the memo", async () => {
    const step = { id: "t", type: train, params: { epochs: 1 }, in: { data: "d" } };
    const before: StepSketch[] = [{ id: "d", type: data, params: { size: 100 } }, step];
    await ran(before);
    const [key] = store.keys().filter((one) => store.result(one)?.fingerprint.type === "test.train");
    const result = store.result(key!)!;
    const compute = { items: { made: 0, fromMemo: 12 }, stored: { bytes: 40 } };
    await store.replace({ ...result, provenance: { ...result.provenance, compute } });
    const found = await estimate([before[0]!, { ...step, params: { epochs: 2 } }]);
    expect(nodeOf(found, "t")).toMatchObject({ unknown: { time: 1, space: 0 }, bytes: 140 });
  });

  it("takes nothing for no work", async () => {
    await ran([
      { id: "d", type: data, params: { size: 100 } },
      { id: "t", type: train, in: { data: "d" } },
    ]);
    const none = await estimate([
      { id: "d", type: data, params: { size: 100 } },
      { id: "t", type: train, params: { epochs: 0 }, in: { data: "d" } },
    ]);
    expect(none).toMatchObject({ milliseconds: 0, bytes: 100 });
    expect(nodeOf(none, "t")).toMatchObject({ unknown: { time: 0, space: 0 } });
  });
});
