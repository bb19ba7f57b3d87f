import { rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import type { Pointer, Store } from "../../cache/types.ts";
import type { Grid } from "../../engine/model/grid.ts";
import type { StepId } from "../../engine/model/ids.ts";
import { defineNode, port } from "../../engine/sdk.ts";
import { createPlanner } from "../../engine/plan/planner.ts";
import { execute, gridOf, temporaryStore } from "./plan-rig.ts";
import { failure, of, play } from "./run-rig.ts";
import type { PlayOptions, Played, Serve } from "./run-rig.ts";

let store: Store;
let remove: () => Promise<void>;

beforeEach(async () => {
  ({ store, remove } = await temporaryStore());
});
afterEach(() => remove());

const run = (
  grid: Grid,
  serve: Serve,
  options: Omit<PlayOptions, "serve" | "store"> & { readonly store?: Store } = {},
): Promise<Played> => play(grid, { store, serve, ...options });

function pointerOf(step: string): Pointer {
  const pointer = store.pointer("p", step as StepId);
  if (!pointer) throw new Error(`${step} has no result`);
  return pointer;
}

async function removeOutput(step: string): Promise<void> {
  const out = store.result(pointerOf(step).key)?.outputs["out"];
  if (!out) throw new Error(`${step} has no output`);
  await rm(store.objects.path(out.digest));
}

/** Reads files of its own and what another step wrote. */
const mixer = defineNode({
  type: "test.mixer",
  version: 1,
  summary: "Mixes a file into a text",
  inputs: { a: port("text") },
  outputs: { out: port("text") },
  params: z.object({ root: z.string().meta({ path: true }) }),
  scan: async () => undefined,
  run: async () => {},
});

describe("a step that waits to be scanned", () => {
  it("is scanned after all when what it depends on failed and is tried again", async () => {
    const grid = gridOf([
      { id: "first", params: { n: 1 } },
      { id: "mixed", type: mixer, params: { root: "/data" }, in: { a: "first" } },
    ]);
    let failures = 0;
    const { outcome, events } = await run(
      grid,
      (request) => (request.step === "first" && failures++ === 0 ? failure : request.step),
      { onEvent: (event, { retryFailed }) => void (event.type === "step-failed" && retryFailed()) },
    );
    expect(outcome).toMatchObject({ kind: "finished", outcome: "succeeded" });
    expect(of(events, "step-succeeded").map(({ step }) => step)).toEqual(["first", "mixed"]);
    expect(of(events, "step-scanned").map(({ step }) => step)).toEqual(["mixed"]);
  });
});

describe("a step whose scan goes on while what it depends on fails", () => {
  it("is skipped when it is scanned", async () => {
    const grid = gridOf([
      { id: "first", params: { n: 1 } },
      { id: "mixed", type: mixer, params: { root: "/data" }, in: { a: "first" } },
    ]);
    const failed = Promise.withResolvers<void>();
    const { outcome, events } = await run(
      grid,
      async (request) => {
        if (request.kind === "run") return failure;
        await failed.promise;
        return "";
      },
      {
        slots: { cpu: 3, memory: 0, gpu: 0, other: {} },
        onEvent: (event) => void (event.type === "step-failed" && failed.resolve()),
      },
    );
    expect(outcome).toMatchObject({ kind: "finished", outcome: "failed" });
    expect(of(events, "step-skipped")).toMatchObject([{ step: "mixed", because: "first" }]);
  });
});

describe("a hit whose bytes are gone and that asks for more than there is", () => {
  it("fails with what to do where it must be rebuilt in the middle of a run", async () => {
    const sketches = (n: number) =>
      gridOf([
        { id: "big", params: { n: 1 } },
        { id: "new", params: { n } },
        { id: "both", in: { a: "big", b: "new" } },
      ]);
    await execute(sketches(2), store);
    await removeOutput("big");
    const { steps, ...grid } = sketches(3);
    const hungry = steps.map((step) =>
      step.id === "big" ? { ...step, resources: { cpu: 1, memory: 0, gpu: 1, other: {} } } : step,
    );
    const { outcome, events } = await run({ ...grid, steps: hungry }, (request) => request.step);
    expect(outcome).toMatchObject({ kind: "finished", outcome: "failed" });
    expect(of(events, "step-failed")).toMatchObject([
      {
        step: "big",
        error: {
          message: "step big asks for 1 gpu, but there is 0 gpu",
          hint: expect.stringMatching(/--slots gpu=1/),
        },
      },
    ]);
    expect(of(events, "step-skipped").map(({ step }) => step)).toEqual(["both"]);
  });
});

describe("a rebuild with other bytes, while a step runs on what was made of the former ones", () => {
  const grid = (n: number): Grid =>
    gridOf([
      { id: "base", params: { n: 1 } },
      { id: "made", in: { a: "base" } },
      { id: "fails", params: { n }, in: { a: "made" } },
      { id: "reader", params: { n }, in: { a: "base" } },
      { id: "last", in: { a: "fails" } },
    ]);

  /** `fails` fails when `base` was rebuilt, so that the new bytes were held back for it. */
  async function playHeld(options: {
    readonly failures: number;
    readonly keepGoing: boolean;
    readonly retry?: boolean;
  }): Promise<{ readonly played: Played; readonly steps: readonly string[] }> {
    await execute(grid(1), store);
    await removeOutput("base");
    const rebuilt = Promise.withResolvers<void>();
    let failures = 0;
    let retries = options.retry ? 1 : 0;
    const played = await run(
      grid(2),
      async (request) => {
        if (request.step !== "fails") return `${request.step} again`;
        await rebuilt.promise;
        return failures++ < options.failures ? failure : request.step;
      },
      {
        slots: { cpu: 2, memory: 0, gpu: 0, other: {} },
        keepGoing: options.keepGoing,
        onEvent: (event, { retryFailed }) => {
          if (event.type === "step-succeeded" && event.step === "base") rebuilt.resolve();
          if (event.type === "step-failed" && retries-- > 0) retryFailed();
        },
      },
    );
    return { played, steps: played.started.map(({ step }) => step) };
  }

  it("is taken when that step has failed for good: what waited for it runs, and the step itself on its new inputs", async () => {
    const { played, steps } = await playHeld({ failures: 1, keepGoing: true });
    expect(played.outcome).toMatchObject({ outcome: "succeeded" });
    expect(steps.toSorted()).toEqual(["base", "fails", "fails", "last", "made", "reader"]);
    expect(of(played.events, "step-skipped")).toEqual([]);
  });

  it("skips what depends on the step when it fails on its new inputs, too", async () => {
    const { played, steps } = await playHeld({ failures: 2, keepGoing: true });
    expect(played.outcome).toMatchObject({ outcome: "failed" });
    expect(steps.toSorted()).toEqual(["base", "fails", "fails", "made", "reader"]);
    expect(of(played.events, "step-skipped")).toMatchObject([{ step: "last", because: "fails" }]);
  });

  it("starts nothing more without --keep-going, and everything when the user tries again", async () => {
    const { played, steps } = await playHeld({ failures: 1, keepGoing: false });
    expect(played.outcome).toMatchObject({ outcome: "failed" });
    expect(steps.toSorted()).toEqual(["base", "fails"]);
    // The next run finds what this one left.
    const next = await run(grid(2), (request) => `${request.step} again`);
    expect(next.outcome).toMatchObject({ outcome: "succeeded" });
    expect(next.started.map(({ step }) => step).toSorted()).toEqual(["fails", "last", "made", "reader"]);
  });

  it("is tried again by hand on its new inputs", async () => {
    const { played, steps } = await playHeld({ failures: 1, keepGoing: false, retry: true });
    expect(played.outcome).toMatchObject({ outcome: "succeeded" });
    expect(steps.toSorted()).toEqual(["base", "fails", "fails", "last", "made", "reader"]);
  });
});

describe("a key that another process holds", () => {
  it("is not rebuilt again where that process has just done it", async () => {
    const grid = (n: number) => gridOf([{ id: "base" }, { id: "next", params: { n }, in: { a: "base" } }]);
    await execute(grid(1), store);
    await removeOutput("base");
    const key = pointerOf("base").key;
    const held = await store.lease(key, new AbortController().signal);
    const other: Store = {
      ...store,
      // The other process puts the bytes back while this one waits.
      lease: async (wanted, signal, onWait) => {
        if (wanted === key) {
          const outputs = await execute(gridOf([{ id: "base" }]), store, { force: () => true });
          expect(outputs.executed).toEqual(["base"]);
          held();
        }
        return store.lease(wanted, signal, onWait);
      },
    };
    const { outcome, events } = await run(grid(2), (request) => request.step, { store: other });
    expect(outcome).toMatchObject({ outcome: "succeeded" });
    expect(of(events, "step-succeeded").map(({ step }) => step)).toEqual(["next"]);
  });

  /** Three steps that could go on at once, one of which somebody else executes: its lease is given as the test likes. */
  async function besides(
    lease: (signal: AbortSignal, onWait: () => void) => Promise<(() => void) | undefined>,
    options: Omit<PlayOptions, "store">,
  ): Promise<Played> {
    const grid = gridOf([
      { id: "held", params: { n: 1 } },
      { id: "fails", params: { n: 2 } },
      { id: "goes on", params: { n: 3 } },
    ]);
    const planner = createPlanner({ grid, store });
    await planner.start();
    const key = planner.key(0);
    let asked = 0;
    const other: Store = {
      ...store,
      lease: async (wanted, signal, onWait) => {
        if (wanted !== key || asked++ > 0) return store.lease(wanted, signal, onWait);
        return (await lease(signal, () => onWait?.("somebody"))) ?? (() => undefined);
      },
    };
    return play(grid, { ...options, store: other, slots: { cpu: 2, memory: 0, gpu: 0, other: {} } });
  }
  const never = (signal: AbortSignal): Promise<undefined> =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));

  it("is not waited for when a step has failed", async () => {
    const { events, outcome } = await besides(
      (signal, onWait) => {
        onWait();
        return never(signal);
      },
      { serve: ({ step }) => (step === "fails" ? failure : step) },
    );
    expect(outcome).toMatchObject({ outcome: "failed" });
    expect(of(events, "step-pending").map(({ step }) => step)).toEqual(["held"]);
    expect(of(events, "run-finished")).toHaveLength(1);
  });

  it.each(["while it is waited for", "given just then"])(
    "runs when failed steps are tried again by hand (%s)",
    async (when) => {
      const given = Promise.withResolvers<undefined>();
      const asked = Promise.withResolvers<void>();
      let failures = 1;
      const { outcome, started } = await besides(
        (signal, onWait) => {
          onWait();
          return when === "given just then" ? given.promise : never(signal);
        },
        {
          serve: async ({ step }) => {
            if (step === "goes on") await asked.promise;
            return step === "fails" && failures-- > 0 ? failure : step;
          },
          onEvent: (event, controls) => {
            if (event.type !== "step-failed") return;
            given.resolve(undefined);
            setImmediate(() => {
              controls.retryFailed();
              asked.resolve();
            });
          },
        },
      );
      expect(outcome).toMatchObject({ outcome: "succeeded" });
      expect(started.map(({ step }) => step).toSorted()).toEqual(["fails", "fails", "goes on", "held"]);
    },
  );
});
