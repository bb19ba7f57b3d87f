import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RosterEntry, Store } from "../../cache/types.ts";
import type { Key } from "../../engine/model/ids.ts";
import { readExternalList } from "../../engine/plan/external-list.ts";
import { formatRunDifference } from "../../engine/plan/format-run-diff.ts";
import { compareRuns } from "../../engine/plan/run-diff.ts";
import type { RunDifference } from "../../engine/plan/run-diff.ts";
import { execute, gather, gridOf, loader, temporaryStore } from "./plan-rig.ts";
import type { StepSketch } from "./plan-rig.ts";

let store: Store;
let remove: () => Promise<void>;
beforeEach(async () => ({ store, remove } = await temporaryStore()));
afterEach(() => remove());

type Roster = readonly RosterEntry[];

async function run(
  steps: readonly StepSketch[],
  options: Parameters<typeof execute>[2] = {},
): Promise<Roster> {
  const grid = gridOf(steps);
  const { planner } = await execute(grid, store, options);
  return grid.steps.map(({ id, index }) => [id, planner.key(index) as Key]);
}

function compare(before: Roster, after: Roster): RunDifference {
  return compareRuns(before, after, {
    result: store.result,
    readList: (list) => readExternalList(store, list),
  });
}

const text = (before: Roster, after: Roster): readonly string[] =>
  formatRunDifference(compare(before, after))
    .replaceAll(/sha256:[0-9a-f]{8}\.\./g, "#")
    .split("\n");

const points = [0, 10, 30];

/** data -> noisy[g] -> head[g] -> table, and `test`, which reads only the data. */
const grid = (options: { share?: number; epochs?: number; head?: string } = {}): readonly StepSketch[] => {
  const head = options.head ?? "head";
  return [
    { id: "data" },
    { id: "test", in: { a: "data" } },
    ...points.map((g): StepSketch => ({
      id: `noisy[g=${g}]`,
      in: { a: "data" },
      params: { n: g === 0 ? 0 : g + (options.share ?? 0) },
    })),
    ...points.map((g): StepSketch => ({
      id: `${head}[g=${g}]`,
      in: { a: `noisy[g=${g}]` },
      params: { n: options.epochs ?? 10 },
    })),
    {
      id: "table",
      type: gather,
      in: { rows: points.map((g) => [{ g: `${g}` }, `${head}[g=${g}]`] as const) },
    },
  ];
};

describe("the difference between two runs", () => {
  it("is none where all keys are equal", async () => {
    const roster = await run(grid());
    expect(compare(roster, await run(grid()))).toMatchObject({ counts: { same: 9, changed: 0 }, steps: [] });
    expect(text(roster, roster)).toEqual([
      "all 9 steps have equal keys: nothing that can change a result is different",
    ]);
  });

  it("names the field, its old and new value, and follows it down to the last reader", async () => {
    const before = await run(grid());
    expect(text(before, await run(grid({ epochs: 30 })))).toEqual([
      "9 steps: 4 changed, 5 with equal keys",
      "",
      "head: 3 of 3 steps",
      "  params.n 10 -> 30",
      "    in [g=0], [g=10], [g=30]",
      "",
      "table",
      "  inputs.rows, because of",
      "    head: params.n 10 -> 30",
    ]);
  });

  it("tells steps of a node apart that changed differently, and leaves out those that did not", async () => {
    const before = await run(grid());
    const difference = compare(before, await run(grid({ share: 1, epochs: 30 })));
    expect(difference.counts).toMatchObject({ same: 3, changed: 6 });
    expect(formatRunDifference(difference).split("\n")).toEqual(
      expect.arrayContaining(["noisy: 2 of 3 steps", "head: 3 of 3 steps", "    in [g=0]", "    in [g=10]"]),
    );
    const table = difference.steps.find(({ step }) => step === "table");
    expect(table).toMatchObject({
      kind: "changed",
      causes: [
        { node: "head", field: "params.n", before: 10, after: 30 },
        { node: "noisy", field: "params.n", before: 10, after: 11 },
        { node: "noisy", field: "params.n", before: 30, after: 31 },
      ],
    });
  });

  it("finds what was renamed, what came and what went", async () => {
    const before = await run(grid());
    const after = await run([
      ...grid({ head: "classifier" }).filter(({ id }) => id !== "test"),
      { id: "other", in: { a: "data" }, params: { n: 77 } },
    ]);
    expect(text(before, after)).toEqual([
      "10 steps: 3 renamed, 1 only in the first, 1 only in the second, 5 with equal keys",
      "",
      "the same results under another name:",
      "  head -> classifier (3 steps): [g=0], [g=10], [g=30]",
      "",
      "only in the first:",
      "  test",
      "",
      "only in the second:",
      "  other",
    ]);
  });

  it("says when a step reads another one, or collects more or fewer", async () => {
    const chain = (from: string, items: readonly string[]): readonly StepSketch[] => [
      { id: "a", params: { n: 1 } },
      { id: "b", params: { n: 2 } },
      { id: "reader", in: { a: from } },
      { id: "table", type: gather, in: { rows: items.map((id) => [{ of: id }, id] as const) } },
    ];
    expect(text(await run(chain("a", ["a", "b"])), await run(chain("b", ["a"])))).toEqual([
      "4 steps: 2 changed, 2 with equal keys",
      "",
      "reader",
      "  inputs.a is read from b instead of a",
      "",
      "table",
      "  inputs.rows has fewer items",
    ]);
  });

  it("says when a step gave other bytes for the same inputs and parameters", async () => {
    const steps: readonly StepSketch[] = [{ id: "dice" }, { id: "reader", in: { a: "dice" } }];
    let throws = 0;
    const work = async (): Promise<string> => `throw ${++throws}`;
    const before = await run(steps, { work });
    const after = await run(steps, { work, force: (step) => step === 0 });
    expect(text(before, after)).toEqual([
      "2 steps: 1 changed, 1 with equal keys",
      "",
      "reader",
      "  inputs.a, because of",
      "    dice: it gave other bytes for the same inputs and parameters",
    ]);
  });

  it("names the external file that changed", async () => {
    const steps: readonly StepSketch[] = [
      { id: "load", type: loader, params: { root: "/data" } },
      { id: "reader", in: { a: "load" } },
    ];
    const scanned = async (content: string): Promise<Roster> => {
      const list = [["a.png", `sha256:${content.repeat(64)}`, 1]];
      const { digest } = await store.objects.putBytes(Buffer.from(JSON.stringify(list)));
      return run(steps, { scan: () => ({ digest, count: 1 }) });
    };
    expect(text(await scanned("a"), await scanned("b")).slice(2)).toEqual([
      "load",
      "  external.a.png # -> #",
      "",
      "reader",
      "  inputs.a, because of",
      "    load: external.a.png # -> #",
    ]);
  });

  it("says which changes cannot be told any more", async () => {
    const before = await run(grid());
    const after = await run(grid({ epochs: 30 }));
    for (const [step, key] of before) if (step.startsWith("head")) await store.drop(key);
    const difference = compare(before, after);
    expect(difference.counts).toMatchObject({ changed: 1, lost: 3 });
    expect(formatRunDifference(difference)).toContain(
      "changed, and what they were made from was removed by gc (`ranflow tag` keeps a run's results):\n" +
        "  head (3 steps): [g=0], [g=10], [g=30]",
    );
  });

  it("says once which fields changed, where each step has values of its own", async () => {
    const each = (n: number): readonly StepSketch[] => {
      const ids = Array.from({ length: 40 }, (_, i) => `s[i=${i}]`);
      return [
        ...ids.map((id, i): StepSketch => ({ id, params: { n: n + i } })),
        ...ids.map((id, i): StepSketch => ({ id: `t[i=${i}]`, in: { a: id } })),
      ];
    };
    expect(text(await run(each(0)), await run(each(100)))).toEqual([
      "80 steps: 80 changed, none with an equal key",
      "",
      "s: 40 of 40 steps",
      "  params.n 0 -> 100",
      "    in [i=0], and in 39 steps more the same fields, with other values",
      "",
      "t: 40 of 40 steps",
      "  inputs.a, because of",
      "    s: params.n 0 -> 100",
      "    in [i=0], and in 39 steps more the same fields, with other values",
    ]);
  });

  it("names twelve items of a table in which everything changed, and counts the others", async () => {
    const wide = (n: number): readonly StepSketch[] => {
      const ids = Array.from({ length: 40 }, (_, i) => `s[i=${i}]`);
      return [
        ...ids.map((id, i): StepSketch => ({ id, params: { n: n + i } })),
        { id: "table", type: gather, in: { rows: ids.map((id, i) => [{ i: `${i}` }, id] as const) } },
      ];
    };
    const difference = compare(await run(wide(0)), await run(wide(100)));
    const table = difference.steps.at(-1);
    if (table?.kind !== "changed") throw new Error(`the table is ${table?.kind}`);
    expect(table.changes).toHaveLength(13);
    expect(table.changes[2]).toMatchObject({
      field: "inputs.rows[i=2]",
      from: { before: "s[i=2]", after: "s[i=2]" },
    });
    expect(table.changes.at(-1)).toEqual({ field: "inputs.rows", after: "28 more inputs changed" });
  });
});
