import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Store } from "../../cache/types.ts";
import { restrict, withUpstream } from "../../engine/grid/restrict.ts";
import type { Grid, Resources, Step } from "../../engine/model/grid.ts";
import type { Key, RunId, StepId } from "../../engine/model/ids.ts";
import { diskTime } from "../rig/disk-time.ts";
import fc from "../rig/fast-check.ts";
import { execute, gather, gridOf, seeded, temporaryStore } from "./plan-rig.ts";
import type { StepSketch } from "./plan-rig.ts";
import { failure, honest, of, play } from "./run-rig.ts";
import type { Played } from "./run-rig.ts";

let store: Store;
let remove: () => Promise<void>;
beforeEach(async () => {
  ({ store, remove } = await temporaryStore());
});
afterEach(() => remove());

const ids = ({ started }: Played): readonly string[] => started.map(({ step }) => step);

/** The same grid with other resources for some steps. */
function withResources(grid: Grid, resources: Readonly<Record<string, Partial<Resources>>>): Grid {
  const steps = grid.steps.map((step): Step => ({
    ...step,
    resources: { ...step.resources, ...resources[step.id] },
  }));
  return { ...grid, steps };
}

/** Makes the store say that steps took so many milliseconds when they ran last. */
async function timed(grid: Grid, milliseconds: Readonly<Record<string, number>>): Promise<void> {
  await execute(grid, store);
  for (const [step, took] of Object.entries(milliseconds)) {
    const pointer = store.pointer(grid.pipeline, step as StepId);
    const result = pointer && store.result(pointer.key);
    if (!result) throw new Error(`${step} has no result`);
    const { provenance } = result;
    await store.replace({
      ...result,
      provenance: { ...provenance, finishedAt: provenance.startedAt + took },
    });
  }
}

describe("the order in which steps start", () => {
  const twoPaths = (n: number): Grid =>
    gridOf([
      { id: "short", params: { n } },
      { id: "shorter", params: { n: n + 1 } },
      { id: "begin", params: { n: n + 2 } },
      { id: "middle", in: { a: "begin" } },
      { id: "end", in: { a: "middle" } },
      { id: "long", params: { n: n + 3 } },
    ]);

  /** What comes after `begin` is ready when its result is, whatever runs by then. */
  const atOnce = (played: Played): readonly string[] =>
    ids(played).filter((id) => id !== "middle" && id !== "end");

  it("begins with the longest path, and is that of the grid among paths of one length", async () => {
    expect(atOnce(await play(twoPaths(1), { store }))).toEqual(["begin", "short", "shorter", "long"]);
  });

  it("is that of the longest path by what each step took last time, whatever else it computes now", async () => {
    await timed(twoPaths(1), { short: 300, shorter: 100, begin: 10, middle: 10, end: 200, long: 500 });
    expect(atOnce(await play(twoPaths(10), { store }))).toEqual(["long", "short", "begin", "shorter"]);
  });

  it("follows the first times of a run: what was never timed before is told apart when one of it has ended", async () => {
    const grid = gridOf([
      { id: "slow0", type: seeded, params: { n: 0 } },
      ...[1, 2, 3, 4, 5].map((n) => ({ id: `quick${n}`, params: { n } })),
      ...[6, 7, 8].map((n) => ({ id: `slow${n}`, type: seeded, params: { n } })),
    ]);
    // Other steps end when of each kind one has its result, however long the store takes for that.
    const known = Promise.withResolvers<void>();
    const kinds = new Set<string>();
    // The clock stands still but for what a step takes.
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      const played = await play(grid, {
        store,
        serve: async (request) => {
          if (request.step !== "slow0" && request.step !== "quick1") await known.promise;
          vi.advanceTimersByTime(request.type === seeded.type ? 5_000 : 1);
          return honest(request);
        },
        onEvent: (event) => {
          if (event.type === "step-succeeded") kinds.add(event.step.replace(/\d/, ""));
          if (kinds.size === 2) known.resolve();
        },
      });
      const { events } = played;
      const ended = (name: RegExp): number =>
        events.findIndex((event) => event.type === "step-succeeded" && name.test(event.step));
      const later = of(events.slice(Math.max(ended(/^slow/), ended(/^quick/))), "step-started");
      expect(later.length).toBeGreaterThan(1);
      expect(later.map(({ step }) => step.replace(/\d/, ""))).toEqual(
        later
          .map(({ step }) => step.replace(/\d/, ""))
          .toSorted()
          .toReversed(),
      );
    } finally {
      vi.useRealTimers();
    }
  });

  it("counts no time for what the store has", async () => {
    const grid = (n: number, m: number): Grid =>
      gridOf([
        { id: "first", params: { n } },
        { id: "second", params: { n: m } },
        { id: "known", params: { n: 7 } },
        { id: "behind", in: { a: "known", b: "first" } },
      ]);
    await timed(grid(1, 2), { first: 10, second: 30, known: 1_000, behind: 1 });
    expect(ids(await play(grid(3, 4), { store }))).toEqual(["second", "first", "behind"]);
  });

  it("takes steps of a node that were never timed for as long as the others of it", async () => {
    const grid = (labels: readonly number[]): Grid => {
      const of = gridOf(
        labels.map((label) => ({
          id: `${label < 100 ? "quick" : "slow"}[x=${label}]`,
          params: { n: label },
        })),
      );
      return { ...of, steps: of.steps.map((step) => ({ ...step, node: step.id.replace(/\[.*/, "") })) };
    };
    await timed(grid([1, 101]), { "quick[x=1]": 10, "slow[x=101]": 500 });
    const wider = grid([1, 2, 3, 101, 102]);
    const nodes = ["quick", "slow"].map((name) => ({
      ...(wider.nodes[0] as Grid["nodes"][number]),
      name,
      steps: wider.steps.filter(({ node }) => node === name).map(({ index }) => index),
    }));
    expect(ids(await play({ ...wider, nodes }, { store, force: (step) => step === 0 }))).toEqual([
      "slow[x=102]",
      "quick[x=1]",
      "quick[x=2]",
      "quick[x=3]",
    ]);
  });
});

describe("slots", () => {
  it("give each step that runs GPUs of its own", async () => {
    const grid = withResources(gridOf([0, 1, 2, 3, 4].map((n) => ({ id: `s${n}`, params: { n } }))), {
      s0: { gpu: 1 },
      s1: { gpu: 2 },
      s2: { gpu: 1 },
      s3: { gpu: 0 },
      s4: { gpu: 3 },
    });
    const slots = { cpu: 9, memory: 0, gpu: 3, other: {} };
    const played = await play(grid, {
      store,
      slots,
      next: (pending) => {
        const taken = pending.flatMap(({ placement }) => placement.gpus);
        expect(new Set(taken).size).toBe(taken.length);
        return 0;
      },
    });
    expect(played.outcome).toMatchObject({ outcome: "succeeded" });
    const gpus = new Map(played.started.map(({ placement, step }) => [step, placement.gpus]));
    expect(["s0", "s1", "s2", "s3", "s4"].map((step) => gpus.get(step)?.length)).toEqual([1, 2, 1, 0, 3]);
    expect(gpus.get("s4")).toEqual([0, 1, 2]);
    // What the user is shown is what the worker was given.
    for (const { gpus: shown = [], step } of of(played.events, "step-started"))
      expect(shown).toEqual(gpus.get(step));
  });

  it("of a name of the user's own limit how many run at once", async () => {
    const grid = withResources(
      gridOf([0, 1, 2, 3].map((n) => ({ id: `s${n}`, params: { n } }))),
      Object.fromEntries([0, 1, 2, 3].map((n) => [`s${n}`, { other: { licence: 1 } }])),
    );
    let most = 0;
    const slots = { cpu: 9, memory: 0, gpu: 0, other: { licence: 2 } };
    const next = (pending: readonly unknown[]): number => {
      most = Math.max(most, pending.length);
      return 0;
    };
    expect((await play(grid, { store, slots, next })).outcome).toMatchObject({ outcome: "succeeded" });
    expect(most).toBe(2);
  });

  it("that nobody has are said before anything runs", async () => {
    const grid = withResources(gridOf([{ id: "s" }]), { s: { other: { licence: 1 } } });
    const { outcome, started } = await play(grid, {
      store,
      slots: { cpu: 1, memory: 0, gpu: 0, other: { licences: 3 } },
    });
    expect(started).toEqual([]);
    expect(outcome).toMatchObject({
      kind: "refused",
      diagnostics: [
        {
          code: "not-enough-slots",
          message: "step s asks for 1 licence, and there is no resource `licence`",
          hint: "did you mean `licences`? Else say --slots licence=1, or take it out of the node's resources",
        },
      ],
    });
  });
});

/** A step: what it reads of those before it, and a parameter; equal parameters and inputs are equal work. */
const rawStep = fc.record({
  a: fc.nat(9),
  b: fc.nat(9),
  many: fc.array(fc.nat(9), { maxLength: 4 }),
  kind: fc.constantFrom("source", "one", "two", "many"),
  n: fc.nat(2),
});
const rawGrid = fc.array(rawStep, { minLength: 1, maxLength: 9 });

function gridFrom(raw: readonly (typeof rawStep extends fc.Arbitrary<infer T> ? T : never)[]): Grid {
  return gridOf(
    raw.map(({ a, b, kind, many, n }, index): StepSketch => {
      const before = (k: number): string => `s${k % index}`;
      const id = `s${index}`;
      if (index === 0 || kind === "source") return { id, params: { n } };
      if (kind === "one") return { id, params: { n }, in: { a: before(a) } };
      if (kind === "two") return { id, params: { n }, in: { a: before(a), b: before(b) } };
      return {
        id,
        type: gather,
        params: { n },
        in: { rows: many.map((k, i) => [{ i: String(i) }, before(k)]) },
      };
    }),
  );
}

/** Step id -> digest of its output, of those that have a result. */
function digests(grid: Grid): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(
    grid.steps.map(({ id }) => {
      const pointer = store.pointer(grid.pipeline, id);
      return [id, pointer && store.result(pointer.key)?.outputs["out"]?.digest];
    }),
  );
}

async function emptyStore(): Promise<void> {
  await remove();
  ({ store, remove } = await temporaryStore());
}

describe("any grid and any selection", { timeout: diskTime }, () => {
  it("runs nothing but what the selection needs, in topological order, each key once; a second run runs nothing", async () => {
    await fc.assert(
      fc.asyncProperty(
        rawGrid,
        fc.array(fc.nat(9), { minLength: 1 }),
        fc.array(fc.nat(9)),
        fc.infiniteStream(fc.nat()),
        async (raw, wanted, known, choices) => {
          await emptyStore();
          const grid = gridFrom(raw);
          const steps = (picks: readonly number[]): Grid =>
            restrict(
              grid,
              picks.map((pick) => pick % grid.steps.length),
            );
          if (known.length > 0) await play(steps(known), { store });
          const before = new Set(grid.steps.flatMap(({ id }) => store.pointer(grid.pipeline, id)?.key ?? []));
          const selected = steps(wanted);
          const slots = { cpu: 3, memory: 0, gpu: 0, other: {} };
          const next = (pending: readonly unknown[]): number =>
            (choices.next().value as number) % pending.length;
          const played = await play(selected, { store, slots, next });
          expect(played.outcome).toMatchObject({ outcome: "succeeded" });

          const needed = new Set(
            withUpstream(
              grid,
              wanted.map((pick) => pick % grid.steps.length),
            ).map((index) => grid.steps[index]?.id as string),
          );
          const done = new Set<string>();
          const keys: Key[] = [];
          for (const event of played.events) {
            if (event.type === "steps-cached") for (const step of event.steps) done.add(step);
            if (event.type === "step-cached") done.add(event.step);
            if (event.type === "step-started") {
              expect(needed).toContain(event.step);
              const { index } = selected.steps.find(({ id }) => id === event.step) as Step;
              for (const upstream of withUpstream(selected, [index]))
                if (upstream !== index) expect(done).toContain(selected.steps[upstream]?.id);
            }
            if (event.type === "step-succeeded") {
              done.add(event.step);
              if (event.sharedWith === undefined) keys.push(event.key);
            }
          }
          expect(new Set(keys).size).toBe(keys.length);
          for (const key of keys) expect(before).not.toContain(key);
          expect(done).toEqual(needed);
          expect(ids(await play(selected, { store }))).toEqual([]);
          // And the whole grid does not repeat what a part of it did.
          const rest = await play(grid, { store });
          for (const { key } of of(rest.events, "step-succeeded").filter(
            ({ sharedWith }) => sharedWith === undefined,
          ))
            expect(keys as readonly string[]).not.toContain(key);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("ends with the same digests and statuses in whatever order steps finish, and however many at once", async () => {
    await fc.assert(
      fc.asyncProperty(
        rawGrid,
        fc.nat(9),
        fc.boolean(),
        fc.infiniteStream(fc.nat()),
        fc.integer({ min: 2, max: 4 }),
        async (raw, bad, fails, choices, cpu) => {
          const grid = gridFrom(raw);
          const end = async (options: object): Promise<unknown> => {
            await emptyStore();
            const { events, outcome } = await play(grid, {
              store,
              keepGoing: true,
              serve: (request) => {
                if (request.kind !== "run") return "";
                // By the key: of equal work, whichever step comes first is executed.
                return fails && Number.parseInt(request.key.slice(0, 4), 16) % 10 === bad
                  ? failure
                  : honest(request);
              },
              ...options,
            });
            const statuses = Object.fromEntries(
              events.flatMap((event) => {
                if (event.type === "step-succeeded" || event.type === "step-cached")
                  return [[event.step, "done"]];
                return event.type === "step-failed" || event.type === "step-skipped"
                  ? [[event.step, "not done"]]
                  : [];
              }),
            );
            return { outcome, statuses, digests: digests(grid) };
          };
          const alone = await end({});
          const slots = { cpu, memory: 0, gpu: 0, other: {} };
          const next = (pending: readonly unknown[]): number =>
            (choices.next().value as number) % pending.length;
          expect(await end({ slots, next })).toEqual(alone);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe("a part of a grid", () => {
  it("does not look beyond what the store has: bytes that nobody reads stay gone", async () => {
    const grid = (n: number): Grid =>
      gridOf([
        { id: "a", params: { n: 1 } },
        { id: "b", in: { a: "a" } },
        { id: "c", params: { n }, in: { a: "b" } },
      ]);
    await play(grid(1), { store });
    const result = store.result(store.pointer("p", "a" as StepId)?.key as Key);
    const { rm } = await import("node:fs/promises");
    await rm(store.objects.path(result?.outputs["out"]?.digest as never));
    expect(ids(await play(restrict(grid(2), [2]), { store }))).toEqual(["c"]);
  });

  it("leaves the pointers of other steps, and records a run that was not whole", async () => {
    const grid = gridOf([{ id: "a" }, { id: "b", in: { a: "a" } }]);
    await play(grid, { store });
    const b = store.pointer("p", "b" as StepId);
    const played = await play(restrict(grid, [0]), {
      store,
      force: () => true,
      selection: { selected: 1, of: 2 },
    });
    expect(store.pointer("p", "b" as StepId)).toEqual(b);
    const run = of(played.events, "run-started")[0]?.run as RunId;
    expect(store.runRecord(run)).toMatchObject({ whole: false });
    expect(of(played.events, "plan-ready")[0]?.selection).toEqual({ selected: 1, of: 2 });
  });
});
