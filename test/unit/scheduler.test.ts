import { describe, expect, it } from "vitest";
import { overlaySlots } from "../../engine/cli/slots-option.ts";
import type { Grid, Resources } from "../../engine/model/grid.ts";
import { createReadyQueue } from "../../engine/run/ready-queue.ts";
import { remainingTimes } from "../../engine/run/remaining.ts";
import { createSlotPool } from "../../engine/run/slots.ts";
import type { Taken } from "../../engine/run/slots.ts";
import { safeName, stepLogPath } from "../../engine/run/step-log.ts";
import fc from "../rig/fast-check.ts";

const demand = (cpu: number, gpu = 0): Resources => ({ cpu, memory: 0, gpu, other: {} });
const slots = { cpu: 2, memory: 1000, gpu: 1, other: {} };

describe("the ready queue", () => {
  it("starts the longest remaining path first, then grid order", () => {
    const queue = createReadyQueue();
    queue.add({ step: 1, demand: demand(1), remaining: 10 });
    queue.add({ step: 2, demand: demand(1), remaining: 30 });
    queue.add({ step: 0, demand: demand(1), remaining: 10 });
    const pool = createSlotPool({ ...slots, cpu: 3 });
    expect(queue.start(pool).map(({ step }) => step)).toEqual([2, 0, 1]);
    expect(queue.size).toBe(0);
  });

  it("holds back what a big step is short of, and nothing else", () => {
    const queue = createReadyQueue();
    const pool = createSlotPool(slots);
    const running = pool.take(demand(1));
    queue.add({ step: 0, demand: demand(2), remaining: 100 });
    queue.add({ step: 1, demand: demand(1), remaining: 1 });
    expect(queue.start(pool)).toEqual([]);
    pool.give(running);
    expect(queue.start(pool).map(({ step }) => step)).toEqual([0]);
  });

  it("lets a step without a GPU run beside one that waits for the GPU", () => {
    const queue = createReadyQueue();
    const pool = createSlotPool(slots);
    pool.take(demand(1, 1));
    queue.add({ step: 0, demand: demand(1, 1), remaining: 100 });
    queue.add({ step: 1, demand: demand(1), remaining: 1 });
    expect(queue.start(pool).map(({ step }) => step)).toEqual([1]);
  });

  it("never gives out more than there is, and starts everything in the end", () => {
    const steps = fc.array(
      fc.record({
        cpu: fc.integer({ min: 1, max: 4 }),
        gpu: fc.integer({ min: 0, max: 2 }),
        remaining: fc.integer({ min: 0, max: 5 }),
      }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(steps, fc.infiniteStream(fc.nat()), (wanted, choices) => {
        const queue = createReadyQueue();
        const pool = createSlotPool({ cpu: 4, memory: 1, gpu: 2, other: {} });
        wanted.forEach(({ cpu, gpu, remaining }, step) =>
          queue.add({ step, demand: demand(cpu, gpu), remaining }),
        );
        const running: Taken[] = [];
        const started: number[] = [];
        do {
          for (const { step, taken } of queue.start(pool)) {
            started.push(step);
            running.push(taken);
          }
          expect(running.reduce((sum, taken) => sum + taken.demand.cpu, 0)).toBeLessThanOrEqual(4);
          const gpus = running.flatMap((taken) => taken.gpus);
          expect(new Set(gpus).size).toBe(gpus.length);
          expect(gpus.every((gpu) => gpu === 0 || gpu === 1)).toBe(true);
          const [ended] = running.splice((choices.next().value as number) % Math.max(1, running.length), 1);
          if (ended) pool.give(ended);
        } while (running.length > 0 || queue.size > 0);
        expect(started.toSorted((a, b) => a - b)).toEqual(wanted.map((_, step) => step));
      }),
    );
  });
});

describe("remaining times", () => {
  it("add up along the longest path", () => {
    const step = (index: number, type: string, reads: readonly number[]): unknown => ({
      index,
      nodeType: { type },
      reads: ["in"],
      inputs: {
        in: { kind: "many", items: reads.map((step, binding) => ({ step, port: "out", at: {}, binding })) },
      },
    });
    const grid = {
      steps: [step(0, "a", []), step(1, "b", [0]), step(2, "c", [0]), step(3, "a", [1, 2])],
    } as unknown as Grid;
    const milliseconds = [1, 10, 100, 1];
    expect([...remainingTimes(grid, (index) => milliseconds[index])]).toEqual([102, 11, 101, 1]);
    // A step that need not run takes no time; one that was never timed takes a second.
    expect([...remainingTimes(grid, (index) => [undefined, 10, 0, undefined][index])]).toEqual([
      2010, 1010, 1000, 1000,
    ]);
  });

  it("count the shards of a step before it", () => {
    const step = (index: number, shards?: readonly number[]): unknown => ({
      index,
      reads: [],
      inputs: {},
      shards,
    });
    const grid = { steps: [step(0), step(1), step(2, [0, 1])] } as unknown as Grid;
    expect([...remainingTimes(grid, (index) => 10 ** index)]).toEqual([101, 110, 100]);
  });
});

describe("file names of step logs", () => {
  it("keep what is harmless readable", () => {
    expect(safeName("finetune[noise=image,gamma=20]")).toBe("finetune[noise=image,gamma=20]");
    expect(stepLogPath("/runs/r", "a/b[x=50%]")).toBe("/runs/r/steps/a%2fb[x=50%25].log");
  });

  it("never leave their folder, are short, and differ where the texts differ", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 400 }),
        fc.string({ unit: "grapheme" }),
        (a, b) => {
          const name = safeName(a);
          expect(name).toMatch(/^[^/\0]*$/);
          expect(name).not.toMatch(/^\.\.?$/);
          expect(name.length).toBeLessThan(250);
          if (Buffer.compare(Buffer.from(a), Buffer.from(b)) !== 0) expect(safeName(b)).not.toBe(name);
        },
      ),
    );
  });
});

describe("--slots", () => {
  it("overlays the machine's", () => {
    expect(overlaySlots(slots, "cpu=4, memory=2GiB,licence=3")).toEqual({
      cpu: 4,
      memory: 2 ** 31,
      gpu: 1,
      other: { licence: 3 },
    });
    expect(overlaySlots(slots, undefined)).toEqual(slots);
  });

  it.each(["cpu", "cpu=", "cpu=0", "cpu=two", "gpu=1.5", "memory=3 apples", "cpu=1GB", "=3"])(
    "refuses %s",
    (text) => {
      expect(() => overlaySlots(slots, text)).toThrow("--slots");
    },
  );
});
