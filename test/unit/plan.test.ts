import { rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPlanner } from "../../engine/plan/planner.ts";
import type { Digest } from "../../engine/model/ids.ts";
import type { Store } from "../../cache/types.ts";
import type { Fingerprint } from "../../engine/model/fingerprint.ts";
import { keyOf } from "../../engine/plan/fingerprint.ts";
import type { Action } from "../../engine/plan/types.ts";
import { diskTime } from "../rig/disk-time.ts";
import fc from "../rig/fast-check.ts";
import { echo, execute, gather, gridOf, loader, resultOf, temporaryStore } from "./plan-rig.ts";
import type { StepSketch } from "./plan-rig.ts";

let store: Store;
let remove: () => Promise<void>;
beforeEach(async () => ({ store, remove } = await temporaryStore()));
afterEach(() => remove());

const chain: readonly StepSketch[] = [
  { id: "data", params: { n: 1 } },
  { id: "noisy", in: { a: "data" }, params: { n: 5 } },
  { id: "train", in: { a: "noisy" } },
  { id: "table", in: { a: "train" } },
];

const edited = (id: string, change: Partial<StepSketch>): readonly StepSketch[] =>
  chain.map((step) => (step.id === id ? { ...step, ...change } : step));

async function removeBytes(output: { readonly digest: Digest } | undefined): Promise<void> {
  if (output) await rm(store.objects.path(output.digest));
}

describe("a plan", () => {
  it("runs everything the first time and nothing the second", async () => {
    const first = await execute(gridOf(chain), store);
    expect(first.executed).toEqual(["data", "noisy", "train", "table"]);
    const second = await execute(gridOf(chain), store);
    expect(second.executed).toEqual([]);
    expect(second.planner.snapshot()).toMatchObject({
      counts: { hit: 4, run: 0, rebuild: 0, shared: 0, unknown: 0 },
      executions: { atLeast: 0, atMost: 0 },
    });
    expect(second.actions.map(({ kind }) => kind)).toEqual(["hit", "hit", "hit", "hit"]);
  });

  it("is known before anything runs as far as it can be", async () => {
    const planner = createPlanner({ grid: gridOf(chain), store });
    await planner.start();
    expect(planner.planned(0)).toEqual({ status: "run", reason: { kind: "first-time" } });
    expect(planner.planned(2)).toEqual({
      status: "unknown",
      reason: { kind: "upstream-runs", steps: ["noisy"] },
    });
    expect(planner.snapshot().executions).toEqual({ atLeast: 1, atMost: 4 });
  });

  it("gives each action out once", async () => {
    const planner = createPlanner({ grid: gridOf(chain), store });
    await planner.start();
    expect(planner.takeActions()).toHaveLength(1);
    expect(planner.takeActions()).toEqual([]);
  });

  it("does only what an edit touches, and names the field down to its cause", async () => {
    await execute(gridOf(chain), store);
    const { planner, executed } = await execute(gridOf(edited("noisy", { params: { n: 10 } })), store);
    expect(executed).toEqual(["noisy", "train", "table"]);
    expect(planner.planned(1).reason).toEqual({
      kind: "changed",
      changes: [{ field: "params.n", before: 5, after: 10 }],
    });
    expect(planner.planned(3).reason).toMatchObject({
      kind: "changed",
      changes: [
        {
          field: "inputs.a",
          because: {
            step: "train",
            changes: [
              {
                field: "inputs.a",
                because: { step: "noisy", changes: [{ field: "params.n", before: 5, after: 10 }] },
              },
            ],
          },
        },
      ],
    });
  });

  it("stops the wave where a rerun gives the same bytes", async () => {
    const work = (step: { id: string }): string =>
      step.id === "noisy" ? "always the same" : `of ${step.id}`;
    await execute(gridOf(chain), store, { work });
    const { planner, executed } = await execute(gridOf(edited("noisy", { params: { n: 10 } })), store, {
      work,
    });
    expect(executed).toEqual(["noisy"]);
    expect(planner.planned(2).status).toBe("hit");
  });

  it("reruns nothing for another name, an ephemeral parameter or a parameter at its neutral value", async () => {
    await execute(gridOf(chain), store);
    const renamed: readonly StepSketch[] = [
      { id: "source", params: { deep: {}, n: 1, note: "seen", later: false } },
      { id: "mixed", in: { a: "source" }, params: { n: 5, note: "too" } },
    ];
    expect((await execute(gridOf(renamed), store)).executed).toEqual([]);
  });

  it("ignores an input that the step does not read", async () => {
    const grid = (n: number): readonly StepSketch[] => [
      { id: "clean" },
      { id: "noise", params: { n } },
      { id: "mix", in: { a: "clean", b: "noise" }, reads: ["a"] },
    ];
    await execute(gridOf(grid(1)), store);
    expect((await execute(gridOf(grid(2)), store)).executed).toEqual(["noise"]);
  });
});

describe("equal steps", () => {
  const grid: readonly StepSketch[] = [
    { id: "data" },
    { id: "mix[noise=image]", in: { a: "data" }, params: { n: 0 } },
    { id: "mix[noise=caption]", in: { a: "data" }, params: { n: 0 } },
    { id: "train[noise=image]", in: { a: "mix[noise=image]" } },
    { id: "train[noise=caption]", in: { a: "mix[noise=caption]" } },
  ];

  it("count once before anything ran", async () => {
    const planner = createPlanner({ grid: gridOf(grid), store });
    await planner.start();
    const plan = planner.snapshot();
    expect(plan.counts).toEqual({ hit: 0, run: 1, rebuild: 0, shared: 2, unknown: 2 });
    expect(plan.executions).toEqual({ atLeast: 1, atMost: 3 });
    expect(plan.steps[4]).toEqual({
      status: "shared",
      reason: { kind: "same-work", as: "train[noise=image]" },
    });
  });

  it("execute once and share the result", async () => {
    const { planner, executed, actions } = await execute(gridOf(grid), store);
    expect(executed).toEqual(["data", "mix[noise=image]", "train[noise=image]"]);
    expect(actions.filter(({ kind }) => kind === "shared")).toHaveLength(2);
    expect(planner.outputs(4)).toEqual(planner.outputs(3));
    expect((await execute(gridOf(grid), store)).executed).toEqual([]);
  });

  it("never share where a step is not cached", async () => {
    const uncached = grid.map((step) => (step.id.startsWith("mix") ? { ...step, cache: false } : step));
    for (const _ of [1, 2]) {
      const { executed, planner } = await execute(gridOf(uncached), store);
      expect(executed.filter((id) => id.startsWith("mix"))).toHaveLength(2);
      // Each keeps a record of its own.
      expect(new Set([1, 2].map((index) => planner.key(index))).size).toBe(2);
    }
  });

  it("fail together, with what follows them", async () => {
    const planner = createPlanner({
      grid: gridOf(grid.slice(1).map((step) => ({ ...step, in: {} }))),
      store,
    });
    await planner.start();
    planner.takeActions();
    expect(await planner.failed(0)).toContain(1);
  });
});

describe("missing bytes", () => {
  it("are nobody's business while no step that runs reads them", async () => {
    const { planner } = await execute(gridOf(chain), store);
    await removeBytes(planner.outputs(0)?.["out"]);
    await removeBytes(planner.outputs(1)?.["out"]);
    expect((await execute(gridOf(chain), store)).executed).toEqual([]);
  });

  it("are rebuilt, as far up as needed, for a step that runs", async () => {
    const { planner } = await execute(gridOf(chain), store);
    await removeBytes(planner.outputs(0)?.["out"]);
    await removeBytes(planner.outputs(1)?.["out"]);
    const changed = gridOf(edited("train", { params: { n: 3 } }));
    const plan = createPlanner({ grid: changed, store });
    await plan.start();
    expect(plan.planned(1)).toEqual({
      status: "rebuild",
      reason: { kind: "outputs-missing", neededBy: "train" },
    });
    expect(plan.planned(0).reason).toEqual({ kind: "outputs-missing", neededBy: "noisy" });
    expect((await execute(changed, store)).executed).toEqual(["data", "noisy", "train", "table"]);
    expect((await execute(changed, store)).executed).toEqual([]);
  });

  it("that a step may read which is not decided yet are foreseen, as far up as they would be rebuilt", async () => {
    const grid = (n: number) =>
      gridOf([
        { id: "raw", params: { n: 5 } },
        { id: "kept", in: { a: "raw" } },
        { id: "first", params: { n } },
        { id: "both", in: { a: "first", b: "kept" } },
        { id: "again", in: { a: "both", b: "kept" } },
      ]);
    const { planner: before } = await execute(grid(1), store);
    await removeBytes(before.outputs(0)?.["out"]);
    await removeBytes(before.outputs(1)?.["out"]);
    const planner = createPlanner({ grid: grid(2), store });
    await planner.start();
    expect(planner.snapshot().executions).toEqual({ atLeast: 1, atMost: 3 });
    await planner.foresee();
    expect(planner.snapshot().executions).toEqual({ atLeast: 1, atMost: 5 });
    expect((await execute(grid(2), store)).executed).toHaveLength(5);
  });

  it("of a last step are rebuilt, since the user will look at them", async () => {
    const { planner } = await execute(gridOf(chain), store);
    await removeBytes(planner.outputs(3)?.["out"]);
    expect((await execute(gridOf(chain), store)).executed).toEqual(["table"]);
  });

  it("that come back as other bytes are a change for everything after them", async () => {
    const first = await execute(gridOf([...chain, { id: "side", in: { a: "data" } }]), store);
    await removeBytes(first.planner.outputs(0)?.["out"]);
    const changed = gridOf([...chain, { id: "side", in: { a: "data" }, params: { n: 9 } }]);
    const { executed } = await execute(changed, store, {
      work: (step, fingerprint) => (step.id === "data" ? "not what it was" : JSON.stringify(fingerprint)),
    });
    expect(executed.toSorted()).toEqual(["data", "noisy", "side", "table", "train"]);
    expect((await execute(changed, store)).executed).toEqual([]);
  });
});

describe("a step that was given out", () => {
  const grid = (n: number): readonly StepSketch[] => [
    { id: "data" },
    { id: "hit", in: { a: "data" } },
    { id: "slow", in: { a: "hit" }, params: { n } },
    { id: "side", in: { a: "data" }, params: { n } },
  ];

  it("ends on the inputs it was given out with, then runs again on those that came out other", async () => {
    const before = await execute(gridOf(grid(0)), store);
    await removeBytes(before.planner.outputs(0)?.["out"]);
    const planner = createPlanner({ grid: gridOf(grid(1)), store });
    await planner.start();
    const finish = async (action: Action | undefined, text: string): Promise<Fingerprint> => {
      if (action?.kind !== "run") throw new Error("expected a run");
      const fingerprint = planner.fingerprint(action.step) as Fingerprint;
      const out = { ...(await store.objects.putBytes(Buffer.from(text))), kind: "file" } as const;
      const result = resultOf(action.key, fingerprint, { out });
      expect(keyOf(fingerprint)).toBe(action.key);
      await planner.finished(action.step, result);
      return fingerprint;
    };
    const runs = (): readonly Action[] => planner.takeActions().filter(({ kind }) => kind === "run");

    const [data, slow] = runs();
    expect([data?.step, slow?.step]).toEqual([0, 2]);
    await finish(data, "other bytes");
    expect(runs()).toEqual([]);
    const first = await finish(slow, "slow on old inputs");
    const [hit, side] = runs();
    expect([hit?.step, side?.step]).toEqual([1, 3]);
    await finish(hit, "hit on new inputs");
    await finish(side, "side on new inputs");
    const [again] = runs();
    expect(again?.step).toBe(2);
    expect((await finish(again, "slow on new inputs")).inputs).not.toEqual(first.inputs);
    expect(planner.snapshot().counts.unknown).toBe(0);
  });
});

describe("forced steps", () => {
  it("run in spite of a hit, and what follows is decided by their bytes", async () => {
    await execute(gridOf(chain), store);
    const same = await execute(gridOf(chain), store, { force: (step) => step === 1 });
    expect(same.executed).toEqual(["noisy"]);
    expect(same.actions.find(({ kind }) => kind === "run")).toMatchObject({ why: { kind: "forced" } });
    const other = await execute(gridOf(chain), store, {
      force: (step) => step === 1,
      work: (step, fingerprint) => (step.id === "noisy" ? "other" : JSON.stringify(fingerprint)),
    });
    expect(other.executed).toEqual(["noisy", "train", "table"]);
  });
});

describe("external data", () => {
  const grid = (root: string | null): readonly StepSketch[] => [
    { id: "load", type: loader, params: { root } },
    { id: "use", in: { a: "load" } },
  ];
  const listOf = async (
    entries: readonly (readonly [string, string])[],
  ): Promise<{ digest: Digest; count: number }> => {
    const list = entries.map(([name, hex]) => [name, `sha256:${hex.repeat(64)}`]);
    const { digest } = await store.objects.putBytes(Buffer.from(JSON.stringify(list)));
    return { digest, count: list.length };
  };

  it("leaves a step unknown until it is scanned", async () => {
    const planner = createPlanner({ grid: gridOf(grid("/data")), store });
    await planner.start();
    expect(planner.planned(0)).toEqual({ status: "unknown", reason: { kind: "not-scanned" } });
    expect(planner.takeActions()).toEqual([{ kind: "scan", step: 0 }]);
    await planner.scanned(0, await listOf([["a.png", "1"]]));
    expect(planner.takeActions()).toMatchObject([{ kind: "run", step: 0 }]);
  });

  it("needs no scan where no path is set", async () => {
    expect((await execute(gridOf(grid(null)), store)).actions.some(({ kind }) => kind === "scan")).toBe(
      false,
    );
  });

  it("counts by content: a moved folder reruns nothing, a changed file is named", async () => {
    const before = await listOf([
      ["a.png", "1"],
      ["b.png", "2"],
    ]);
    const after = await listOf([
      ["a.png", "1"],
      ["b.png", "3"],
      ["c.png", "4"],
    ]);
    await execute(gridOf(grid("/data")), store, { scan: () => before });
    expect((await execute(gridOf(grid("/moved")), store, { scan: () => before })).executed).toEqual([]);
    const { planner, executed } = await execute(gridOf(grid("/data")), store, { scan: () => after });
    expect(executed).toEqual(["load", "use"]);
    expect(planner.planned(0).reason).toEqual({
      kind: "changed",
      changes: [
        { field: "external.b.png", before: `sha256:${"2".repeat(64)}`, after: `sha256:${"3".repeat(64)}` },
        { field: "external.c.png", after: `sha256:${"4".repeat(64)}` },
      ],
    });
  });
});

describe("failure", () => {
  it("stops what follows, and a later success lets it go on", async () => {
    const planner = createPlanner({ grid: gridOf(chain), store });
    await planner.start();
    const [action] = planner.takeActions();
    expect(await planner.failed(0)).toEqual([1, 2, 3]);
    if (action?.kind !== "run") throw new Error("expected a run");
    const out = { ...(await store.objects.putBytes(Buffer.from("x"))), kind: "file" } as const;
    const fingerprint = planner.fingerprint(0);
    if (!fingerprint) throw new Error("expected a fingerprint");
    await planner.finished(0, {
      key: action.key,
      fingerprint,
      outputs: { out },
      provenance: { startedAt: 0, finishedAt: 1, runId: "r", host: "h", ranflow: "0", node: "n" },
    });
    expect(planner.takeActions()).toMatchObject([{ kind: "run", step: 1 }]);
  });
});

describe("any grid", { timeout: diskTime }, () => {
  const sketches = fc
    .array(
      fc.record({
        n: fc.integer({ min: 0, max: 2 }),
        reads: fc.array(fc.nat(), { maxLength: 2 }),
        many: fc.boolean(),
      }),
      { minLength: 1, maxLength: 14 },
    )
    .map((nodes) =>
      nodes.map(({ n, reads, many }, index): StepSketch => {
        const from = index === 0 ? [] : [...new Set(reads.map((read) => `s${read % index}`))];
        if (many && from.length > 0) {
          return {
            id: `s${index}`,
            type: gather,
            params: { n },
            in: { rows: from.map((id) => [{ id }, id]) },
          };
        }
        const bound = Object.fromEntries(from.map((id, i) => [i === 0 ? "a" : "b", id]));
        return { id: `s${index}`, type: echo, params: { n }, in: bound };
      }),
    );

  it("is all hits the second time, executes equal work once, and stays within its bounds", async () => {
    await fc.assert(
      fc.asyncProperty(sketches, async (steps) => {
        const { store: own, remove: removeOwn } = await temporaryStore();
        try {
          const planner = createPlanner({ grid: gridOf(steps), store: own });
          await planner.start();
          const { atLeast, atMost } = planner.snapshot().executions;
          const first = await execute(gridOf(steps), own);
          expect(first.executed.length).toBeGreaterThanOrEqual(atLeast);
          expect(first.executed.length).toBeLessThanOrEqual(atMost);
          const keys = new Set(steps.map((_, index) => first.planner.key(index)));
          expect(first.executed).toHaveLength(keys.size);
          const second = await execute(gridOf(steps), own);
          expect(second.executed).toEqual([]);
          expect(second.planner.snapshot().counts.hit).toBe(steps.length);
        } finally {
          await removeOwn();
        }
      }),
      { numRuns: 25 },
    );
  });
});
