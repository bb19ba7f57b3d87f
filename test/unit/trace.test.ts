import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RosterEntry, Store } from "../../cache/types.ts";
import type { Key, StepId } from "../../engine/model/ids.ts";
import { formatTrace } from "../../engine/plan/format-trace.ts";
import { traceResults } from "../../engine/plan/trace.ts";
import type { Trace, TraceOptions } from "../../engine/plan/trace.ts";
import { execute, gather, gridOf, temporaryStore } from "./plan-rig.ts";
import type { StepSketch } from "./plan-rig.ts";

let store: Store;
let remove: () => Promise<void>;
beforeEach(async () => ({ store, remove } = await temporaryStore()));
afterEach(() => remove());

async function run(
  steps: readonly StepSketch[],
  options: Parameters<typeof execute>[2] = {},
): Promise<readonly RosterEntry[]> {
  const grid = gridOf(steps);
  const { planner } = await execute(grid, store, options);
  return grid.steps.map(({ id, index }) => [id, planner.key(index) as Key]);
}

function trace(entries: readonly RosterEntry[], step: string, options: Partial<TraceOptions> = {}): Trace {
  const [, key] = entries.find(([id]) => id === step) ?? [];
  if (key === undefined) throw new Error(`no step ${step}`);
  const roots = [{ step: step as StepId, key }];
  return traceResults({ roots, entries, result: store.result, keys: store.keys, ...options });
}

const names = ({ results }: Trace): readonly string[] => results.map(({ steps }) => steps[0] ?? "");
const sources = ({ results }: Trace): readonly (readonly [string, readonly (string | undefined)[]])[] =>
  results.map(({ inputs, steps }) => [steps[0] ?? "", inputs.map(({ step }) => step)]);

const grid: readonly StepSketch[] = [
  { id: "data", params: { n: 1 } },
  { id: "unrelated", params: { n: 2 } },
  { id: "head[g=0]", in: { a: "data" }, params: { n: 3 } },
  { id: "head[g=5]", in: { a: "data" }, params: { n: 4 } },
  {
    id: "table",
    type: gather,
    in: {
      rows: [
        [{ g: "0" }, "head[g=0]"],
        [{ g: "5" }, "head[g=5]"],
      ],
    },
  },
];

describe("a trace", () => {
  it("has each result once, before what it was made from, and nothing else", async () => {
    const found = trace(await run(grid), "table");
    expect(sources(found)).toEqual([
      ["table", ["head[g=0]", "head[g=5]"]],
      ["head[g=0]", ["data"]],
      ["head[g=5]", ["data"]],
      ["data", []],
    ]);
    expect(found.beyond).toBe(0);
  });

  it("goes no deeper than told, and follows only the wanted inputs of the root", async () => {
    const entries = await run(grid);
    const near = trace(entries, "table", { depth: 1 });
    expect([names(near), near.beyond]).toEqual([["table", "head[g=0]", "head[g=5]"], 1]);
    const cell = trace(entries, "table", { follows: ({ at }) => at?.["g"] === "5" });
    expect(names(cell)).toEqual(["table", "head[g=5]", "data"]);
  });

  it("of bytes that several steps made takes the one before its reader, at the reader's own point", async () => {
    const points = ["x", "y"];
    const steps: readonly StepSketch[] = [
      { id: "first", params: { n: 1 } },
      ...points.map((p, i): StepSketch => ({ id: `mid[p=${p}]`, in: { a: "first" }, params: { n: 10 + i } })),
      ...points.map((p, i): StepSketch => ({
        id: `end[p=${p}]`,
        in: { a: `mid[p=${p}]` },
        params: { n: 20 + i },
      })),
    ];
    const found = trace(await run(steps, { work: () => "the same everywhere" }), "end[p=y]");
    // `mid` has the bytes of `first` and of the other `mid`: neither is what made its input.
    expect(sources(found)).toEqual([
      ["end[p=y]", ["mid[p=y]"]],
      ["mid[p=y]", ["first"]],
      ["first", []],
    ]);
  });

  it("names all steps of the run that had the result", async () => {
    const entries = await run([
      { id: "a[noise=image]", params: { n: 1 } },
      { id: "a[noise=caption]", params: { n: 1 } },
      { id: "b[noise=caption]", in: { a: "a[noise=caption]" } },
    ]);
    expect(trace(entries, "b[noise=caption]").results.at(-1)?.steps).toEqual([
      "a[noise=caption]",
      "a[noise=image]",
    ]);
  });

  it("finds results of other runs, and says what the store has no more", async () => {
    const entries = await run(grid);
    const [[, data] = []] = entries;
    const alone = entries.filter(([step]) => step === "table" || step.startsWith("head"));
    expect(sources(trace(alone, "table")).at(-1)).toEqual(["", []]);
    await store.drop(data as Key);
    const lost = trace(alone, "table");
    expect(names(lost)).toEqual(["table", "head[g=0]", "head[g=5]"]);
    expect(lost.results[1]?.inputs).toEqual([{ port: "a", digest: expect.stringMatching(/^sha256:/) }]);
    expect(formatTrace(lost, { data: new Map(), everyStep: true })).toContain(
      "and what made it is not in the store any more",
    );
  });

  it("says the steps of a node together, with the values in which they differ", async () => {
    const lines = formatTrace(trace(await run(grid), "table"), { data: new Map(), everyStep: false });
    expect(lines.split("\n")).toEqual(
      expect.arrayContaining([
        "head (2 results)  test.echo@1",
        "  params    n=3 | 4  deep={}",
        "  rows      from head (2: [g=0], [g=5])",
        "  made      1970-01-01 00:00 UTC in 2.0 s, run r, on h",
      ]),
    );
  });
});
