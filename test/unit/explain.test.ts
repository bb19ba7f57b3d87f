import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store } from "../../cache/types.ts";
import type { FieldChange, Reason } from "../../engine/model/plan.ts";
import type { Key, StepId } from "../../engine/model/ids.ts";
import { explainStep, formatChange, formatExplanation, formatReason } from "../../engine/plan/explain.ts";
import { createPlanner } from "../../engine/plan/planner.ts";
import type { Planner } from "../../engine/plan/types.ts";
import { execute, gather, gridOf, loader, temporaryStore } from "./plan-rig.ts";
import type { StepSketch } from "./plan-rig.ts";

let store: Store;
let remove: () => Promise<void>;
beforeEach(async () => ({ store, remove } = await temporaryStore()));
afterEach(() => remove());

const grid = (options: { noise?: number; epochs?: number } = {}): readonly StepSketch[] => [
  { id: "data" },
  { id: "noisy", in: { a: "data" }, params: { n: options.noise ?? 5 } },
  { id: "head", in: { a: "noisy" }, params: { n: options.epochs ?? 10 } },
];

async function planned(steps: readonly StepSketch[]): Promise<Planner> {
  const planner = createPlanner({ grid: gridOf(steps), store });
  await planner.start();
  return planner;
}

const explained = (planner: Planner, step: number): string =>
  formatExplanation(explainStep(planner, store, "p", step))
    // What differs from run to run of the test.
    .replaceAll(/[0-9a-f]{8}\.\./g, "########..");

describe("an explanation", () => {
  it("of a step that runs names the field, its old and its new value", async () => {
    await execute(gridOf(grid()), store);
    expect(explained(await planned(grid({ epochs: 30 })), 2)).toBe(
      [
        "head: runs, because these fields changed:",
        "  params.n 10 -> 30",
        "  last result of 1970-01-01 00:00 UTC, run r on h, took 1.0 s",
      ].join("\n"),
    );
  });

  it("of a step that waits goes up to the field that caused it", async () => {
    await execute(gridOf(grid()), store);
    expect(explained(await planned(grid({ noise: 30, epochs: 20 })), 2)).toBe(
      [
        "head: not known yet, waits for noisy",
        "  changed in the step itself:",
        "    params.n 10 -> 20",
        "  last result of 1970-01-01 00:00 UTC, run r on h, took 1.0 s",
        "  noisy: runs, because these fields changed:",
        "    params.n 5 -> 30",
        "    last result of 1970-01-01 00:00 UTC, run r on h, took 1.0 s",
      ].join("\n"),
    );
  });

  it("of a step whose inputs have run names the change behind their digests", async () => {
    await execute(gridOf(grid()), store);
    const { planner } = await execute(gridOf(grid({ noise: 30 })), store);
    const { reason } = planner.planned(2);
    expect(formatReason(reason)).toBe("inputs.a (noisy: params.n 5 -> 30)");
    expect(explained(planner, 2)).toContain("because noisy changed:\n      params.n 5 -> 30");
  });

  it("of a hit says since when, and what the last change was", async () => {
    await execute(gridOf(grid({ epochs: 10 })), store);
    await execute(gridOf(grid({ epochs: 30 })), store);
    expect(explained(await planned(grid({ epochs: 30 })), 2)).toBe(
      [
        "head: hit, nothing that can change its outputs has changed",
        "  result of 1970-01-01 00:00 UTC, run r on h, took 1.0 s",
        "  what made that result differ from the one before:",
        "    params.n 10 -> 30",
      ].join("\n"),
    );
  });

  it("of a hit that goes back to an earlier result says what is different from the last one", async () => {
    await execute(gridOf(grid({ epochs: 10 })), store);
    await execute(gridOf(grid({ epochs: 30 })), store);
    expect(explained(await planned(grid({ epochs: 10 })), 2)).toBe(
      [
        "head: hit, it is what it was in an earlier run",
        "  result of 1970-01-01 00:00 UTC, run r on h, took 1.0 s",
        "  since the step's last result, which is another one:",
        "    params.n 30 -> 10",
      ].join("\n"),
    );
  });

  it("of a hit whose former result is gone says that its last change is not known", async () => {
    const { planner } = await execute(gridOf(grid({ epochs: 10 })), store);
    await execute(gridOf(grid({ epochs: 30 })), store);
    await store.drop(planner.key(2) as Key);
    expect(explained(await planned(grid({ epochs: 30 })), 2)).toContain(
      "the result before that one was removed by gc: what changed then is not known",
    );
  });

  it("of a hit names the upstream field behind its last change, also through a collecting port", async () => {
    const collected = (n: number): readonly StepSketch[] => {
      const points = [0, 1, 2];
      const rows = points.map((i): [Record<string, string>, string] => [{ i: String(i) }, `head[i=${i}]`]);
      return [
        ...points.map((i): StepSketch => ({ id: `head[i=${i}]`, params: { n, i } })),
        { id: "table", type: gather, in: { rows } },
      ];
    };
    await execute(gridOf(collected(10)), store);
    await execute(gridOf(collected(30)), store);
    expect(
      explained(await planned(collected(30)), 3)
        .split("\n")
        .slice(2),
    ).toEqual([
      "  what made that result differ from the one before:",
      "    inputs.rows[i=0] sha256:########.. -> sha256:########..",
      "      because head[i=0] changed:",
      "        params.n 10 -> 30",
      "    inputs.rows: 2 more changed for the same reason",
    ]);
  });

  it("of a step that waits says causes of one node that read alike once", async () => {
    const wide = (n: number): readonly StepSketch[] => {
      const points = [0, 1, 2, 3];
      const rows = points.map((i): [Record<string, string>, string] => [{ i: String(i) }, `head[i=${i}]`]);
      return [
        ...points.map((i): StepSketch => ({ id: `data[i=${i}]`, params: { n: i } })),
        ...points.map((i): StepSketch => ({ id: `head[i=${i}]`, in: { a: `data[i=${i}]` }, params: { n } })),
        { id: "table", type: gather, in: { rows } },
      ];
    };
    await execute(gridOf(wide(10)), store);
    expect(
      explained(await planned(wide(30)), 8)
        .split("\n")
        .slice(2),
    ).toEqual([
      "  head (4 steps): runs, because these fields changed:",
      "    params.n 10 -> 30",
      "    in [i=0], [i=1], [i=2] and 1 more (--json lists them)",
    ]);
  });

  it("of shared, forced, unscanned and first steps says so", async () => {
    const steps: readonly StepSketch[] = [
      { id: "load", type: loader, params: { root: "/data" } },
      { id: "a", in: { a: "load" } },
      { id: "b", in: { a: "load" } },
      { id: "first", params: { n: 1 } },
      { id: "always", cache: false },
    ];
    const planner = await planned(steps);
    expect(explained(planner, 2)).toBe(
      [
        "b: shared, same work as a",
        "  a: not known yet, waits for load",
        "    load: not known yet, its data is not yet scanned (--scan does that)",
      ].join("\n"),
    );
    expect(explained(planner, 3)).toBe("first: runs, no result yet");
    expect(explained(planner, 4)).toBe("always: runs, every time (cache: false)");
  });

  it("of a step far below names the causes, not the way to them", async () => {
    const far = (n: number): readonly StepSketch[] => [
      ...grid({ noise: n }),
      { id: "test", in: { a: "head", b: "data" } },
      { id: "table", in: { a: "test", b: "head" } },
    ];
    await execute(gridOf(far(5)), store);
    const { upstream } = explainStep(await planned(far(30)), store, "p", 4);
    expect(upstream.map(({ step, reason }) => [step, formatReason(reason)])).toEqual([
      ["noisy", "params.n 5 -> 30"],
    ]);
  });

  it("is plain JSON", async () => {
    await execute(gridOf(grid()), store);
    const explanation = explainStep(await planned(grid({ noise: 30 })), store, "p", 2);
    expect(JSON.parse(JSON.stringify(explanation))).toEqual(explanation);
  });

  it("of a collecting step stays readable however many inputs changed", async () => {
    const many = (n: number): readonly StepSketch[] => {
      const items = Array.from({ length: 40 }, (_, i): StepSketch => ({ id: `s${i}`, params: { n: n + i } }));
      const rows = items.map(({ id }, i): [Record<string, string>, string] => [{ i: String(i) }, id]);
      return [...items, { id: "table", type: gather, in: { rows } }];
    };
    await execute(gridOf(many(0)), store);
    const { planner } = await execute(gridOf(many(100)), store);
    const { reason } = planner.planned(40);
    if (reason.kind !== "changed") throw new Error(`expected changes, got ${reason.kind}`);
    expect(reason.changes).toHaveLength(13);
    expect(reason.changes.at(-1)).toEqual({ field: "inputs.rows", after: "28 more inputs changed" });
    expect(reason.changes[3]).toMatchObject({
      field: "inputs.rows[i=3]",
      because: { step: "s3", changes: [{ field: "params.n", before: 3, after: 103 }] },
    });
  });
});

describe("a change as text", () => {
  const of = (change: FieldChange): string => formatChange(change).join("\n");

  it("says what is new and what is gone, and cuts digests", () => {
    const digest = `sha256:${"ab".repeat(32)}`;
    expect(of({ field: "params.x", after: true })).toBe("params.x (new) true");
    expect(of({ field: "params.x", before: "a" })).toBe('params.x "a" -> (gone)');
    expect(of({ field: "inputs.a", before: digest, after: digest })).toBe(
      "inputs.a sha256:abababab.. -> sha256:abababab..",
    );
  });

  it("says when an upstream step was not deterministic", () => {
    const because = { step: "noisy" as StepId, changes: [] };
    expect(of({ field: "inputs.a", before: 1, after: 2, because })).toContain(
      "noisy gave other bytes for the same inputs and parameters",
    );
  });
});

describe("a reason in a few words", () => {
  it("exists for every kind", () => {
    const step = "s" as StepId;
    const reasons: readonly Reason[] = [
      { kind: "cached", key: "k" as never, finishedAt: 0 },
      { kind: "first-time" },
      { kind: "changed", changes: [{ field: "seed", before: 1, after: 2 }] },
      { kind: "forced" },
      { kind: "not-cacheable" },
      { kind: "outputs-missing", neededBy: step },
      { kind: "same-work", as: step },
      { kind: "upstream-runs", steps: [step] },
      { kind: "not-scanned" },
    ];
    expect(reasons.map(formatReason)).toEqual([
      "result of 1970-01-01 00:00 UTC",
      "no result yet",
      "seed 1 -> 2",
      "forced",
      "every time (cache: false)",
      "its outputs are gone from the store, and s needs them",
      "same work as s",
      "waits for s",
      "its data is not yet scanned",
    ]);
  });
});
