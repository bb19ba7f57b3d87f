import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readEvents } from "../../engine/cli/event-log.ts";
import { isRunEvent } from "../../engine/model/event-shape.ts";
import type { RunEvent } from "../../engine/model/events.ts";
import type { StepId } from "../../engine/model/ids.ts";
import {
  elapsed,
  eta,
  failedSteps,
  finished,
  initialRunState,
  logTail,
  queuedSteps,
  rate,
  reduce,
  runningSteps,
  seriesHistory,
  settled,
  share,
  stepAt,
  stepById,
  stepPhases,
  stepRemaining,
  timeByNode,
} from "../../engine/model/run-state.ts";
import type { RunState, StepPhase } from "../../engine/model/run-state.ts";
import { createPaint } from "../../engine/report/paint.ts";
import { summaryLines } from "../../engine/report/summary.ts";
import { gridRun } from "../terminal/fixtures/grid-run.ts";
import fc from "../rig/fast-check.ts";

const play = (events: readonly RunEvent[], from: RunState = initialRunState): RunState =>
  events.reduce(reduce, from);

/** What must hold of every state, whatever happened. */
function expectConsistent(state: RunState): void {
  const phases: Record<string, number> = Object.fromEntries(stepPhases.map((phase) => [phase, 0]));
  const running: number[] = [];
  const failed: number[] = [];
  state.nodes.forEach((node) => {
    const own: Record<string, number> = Object.fromEntries(stepPhases.map((phase) => [phase, 0]));
    for (let at = node.first; at < node.first + node.size; at += 1) {
      const phase = stepAt(state, at)?.phase as StepPhase;
      own[phase] = (own[phase] ?? 0) + 1;
      phases[phase] = (phases[phase] ?? 0) + 1;
      if (phase === "running") running.push(at);
      if (phase === "failed") failed.push(at);
    }
    expect(node.counts).toEqual(own);
  });
  expect(state.counts).toEqual(phases);
  expect(state.running.toSorted((a, b) => a - b)).toEqual(running);
  expect(state.failed.toSorted((a, b) => a - b)).toEqual(failed);
  expect(state.index.size).toBe(state.steps.length);
  const left = eta(state);
  if (left) expect(left.milliseconds).toBeGreaterThanOrEqual(0);
  expect(elapsed(state)).toBeGreaterThanOrEqual(0);
}

const small = gridRun({ gammas: 2, workers: 3, failing: 0.2 });
const id = (text: string): StepId => text as StepId;

/** The small run's events, shuffled, repeated and cut: what a damaged log may hold. */
const anyEvents = fc
  .array(fc.constantFrom(...small), { maxLength: 150 })
  .chain((events) => fc.constantFrom(events, [...small.slice(0, 2), ...events]));

/** A plan of one step that waits. */
const oneStep = (step: StepId): RunEvent[] => [
  {
    n: 1,
    t: 1,
    type: "plan-ready",
    nodes: [{ name: "train", type: "head.train", axes: [], steps: [step] }],
    statuses: ["run"],
    executions: { atLeast: 1, atMost: 1 },
  },
];

/** Every field in a value, within its lists and maps too. */
function fieldsOf(value: unknown): (readonly [holder: object, name: string])[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [[value, name] as const, ...fieldsOf(inner)]);
}

/** A run of trivial steps that all make progress: ten events for each. */
function* manySteps(count: number): Generator<RunEvent> {
  const steps = Array.from({ length: count }, (_, index) => id(`train[run=${index}]`));
  let n = 0;
  const event = (body: object): RunEvent => ({ n, t: 1_000_000 + n++, ...body }) as RunEvent;
  const half = count / 2;
  yield event({
    type: "plan-ready",
    nodes: [
      { name: "one", type: "head.train", axes: ["run"], steps: steps.slice(0, half) },
      { name: "two", type: "head.train", axes: ["run"], steps: steps.slice(half) },
    ],
    statuses: steps.map(() => "run"),
    executions: { atLeast: count, atMost: count },
  });
  for (const step of steps) {
    yield event({ type: "step-queued", step, why: { kind: "first-time" } });
    yield event({ type: "step-started", step, attempt: 1, phase: "run", worker: 0 });
    yield event({ type: "step-log", step, level: "info", message: "training" });
    for (let done = 1; done <= 6; done += 1)
      yield event({ type: "step-progress", step, done, total: 6, series: { loss: 1 / done } });
    yield event({ type: "step-succeeded", step, key: "k", duration: 9 });
  }
}

describe("reduce", () => {
  it("gives the same state for the same events, and changes no state it was given", () => {
    fc.assert(
      fc.property(anyEvents, (events) => {
        const states = [initialRunState];
        for (const event of events) states.push(reduce(states.at(-1) ?? initialRunState, event));
        const copies = states.map((state) => structuredClone(state));
        expect(play(events)).toEqual(states.at(-1));
        expect(states).toEqual(copies);
      }),
      { numRuns: 30 },
    );
  });

  it("is consistent after any prefix of a run", () => {
    let state = initialRunState;
    for (const event of small) {
      state = reduce(state, event);
      expectConsistent(state);
    }
  });

  it("is consistent after any events in any order", () => {
    fc.assert(
      fc.property(anyEvents, (events) => {
        expectConsistent(play(events));
      }),
      { numRuns: 200 },
    );
  });

  it("goes on from a state as if it had seen all events itself", () => {
    fc.assert(
      fc.property(fc.nat({ max: small.length }), (cut) => {
        expect(play(small.slice(cut), play(small.slice(0, cut)))).toEqual(play(small));
      }),
      { numRuns: 20 },
    );
  });

  it("goes on from a state in pieces of any size, each through JSON, as it goes on event by event", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(anyEvents, cuts, (events, sizes) => {
        let state = initialRunState;
        for (let at = 0, i = 0; at < events.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          state = play(JSON.parse(JSON.stringify(events.slice(at, at + size))) as RunEvent[], state);
          at += size;
        }
        expect(state).toEqual(play(events));
      }),
      { numRuns: 50 },
    );
  });

  it("takes a log that was cut off at any byte as its whole lines", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ranflow-events-"));
    const log = join(folder, "events.ndjson");
    const lines = small.slice(0, 40).map((event) => `${JSON.stringify({ ...event, note: "é€😀" })}\n`);
    const bytes = Buffer.from(lines.join(""));
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length), async (length) => {
        await writeFile(log, bytes.subarray(0, length));
        const read: RunEvent[] = [];
        const signal = new AbortController().signal;
        await readEvents(log, { follow: false, signal, onEvents: (events) => read.push(...events) });
        const whole = bytes.subarray(0, length).toString("utf8").split("\n").length - 1;
        expect(read).toHaveLength(whole);
        expect(play(read)).toEqual(play(small.slice(0, whole)));
      }),
      { numRuns: 50 },
    );
    await rm(folder, { recursive: true });
  });

  it("throws at nothing that passes for an event, nor does the summary; every event of a run passes", () => {
    expect(small.filter((event) => !isRunEvent(event))).toEqual([]);
    expect([null, 7, [], {}, { type: "x" }, { type: "step-log", n: 1, t: 1 }].some(isRunEvent)).toBe(false);
    expect(isRunEvent({ type: "of-a-newer-version", n: 1, t: 1 })).toBe(true);
    let passed = 0;
    fc.assert(
      fc.property(
        fc.nat(small.length - 1),
        fc.nat(200),
        fc.oneof(fc.constant(undefined), fc.jsonValue({ maxDepth: 1 })),
        (which, place, value) => {
          const event = structuredClone(small[which]) as RunEvent;
          const places = fieldsOf(event);
          const [holder, name] = places[place % places.length] as readonly [Record<string, unknown>, string];
          if (value === undefined) delete holder[name];
          else holder[name] = value;
          // As a log gives it: a hole in a list is written as null.
          const damaged = JSON.parse(JSON.stringify(event)) as RunEvent;
          if (!isRunEvent(damaged)) return;
          passed++;
          const state = play([...small.slice(0, which), damaged, ...small.slice(which + 1)]);
          summaryLines(state, createPaint(false));
        },
      ),
      { numRuns: 500 },
    );
    expect(passed).toBeGreaterThan(50);
  });

  it("keeps series apart from what every object has by the same name", () => {
    const names = ["constructor", "__proto__", "toString", "loss"];
    const series = Object.fromEntries(names.map((name, i) => [name, i]));
    const step = id("train");
    const state = play([
      ...oneStep(step),
      { n: 2, t: 2, type: "step-started", step, attempt: 1, phase: "run", worker: 0 },
      { n: 3, t: 3, type: "step-progress", step, done: 1, total: 2, series },
      { n: 4, t: 4, type: "step-progress", step, done: 2, total: 2, series },
    ]);
    const shown = stepById(state, step);
    expect(Object.keys(shown?.series ?? {}).toSorted()).toEqual(names.toSorted());
    for (const name of names)
      expect(shown && seriesHistory(shown, name)).toEqual([series[name], series[name]]);
  });

  it("settles every step of a whole run, and counts what became of them", () => {
    const state = play(gridRun());
    const { succeeded, cached, failed, skipped } = state.counts;
    expect(state.steps.length).toBe(300);
    expect(settled(state.counts)).toBe(300);
    expect(finished(state.counts)).toBe(300 - failed - skipped);
    expect(cached).toBe(2);
    expect(failed).toBeGreaterThan(0);
    expect(succeeded + cached + failed + skipped).toBe(300);
    expect(state.status).toBe("failed");
    expect(runningSteps(state)).toEqual([]);
  });

  it("leaves events of steps it does not know, and of kinds it does not know, alone", () => {
    const state = play(small.slice(0, 20));
    const base = { n: 999, t: state.now };
    const unknown = reduce(state, { ...base, type: "step-cached", step: id("nowhere"), key: "k" as never });
    const newer = reduce(state, { ...base, type: "step-teleported", step: id("roco") } as never);
    expect({ ...unknown, last: 0 }).toEqual({ ...state, last: 0 });
    expect({ ...newer, last: 0 }).toEqual({ ...state, last: 0 });
  });

  it("takes many hits in one event as it takes them one by one, whatever state the steps are in", () => {
    const ids = small.flatMap((event) =>
      event.type === "plan-ready" ? event.nodes.flatMap(({ steps }) => steps) : [],
    );
    const hits = fc.array(fc.tuple(fc.constantFrom(...ids, id("nowhere")), fc.string()), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(anyEvents, hits, (events, cached) => {
        const state = play(events);
        const at = { n: state.last + 1, t: state.now };
        const one = (step: StepId, key: string): RunEvent => ({
          ...at,
          type: "step-cached",
          step,
          key: key as never,
        });
        const together = reduce(state, {
          ...at,
          type: "steps-cached",
          steps: cached.map(([step]) => step),
          keys: cached.map(([, key]) => key as never),
        });
        const apart = cached.reduce((before, [step, key]) => reduce(before, one(step, key)), state);
        expect(together).toEqual({ ...apart, last: at.n });
      }),
      { numRuns: 200 },
    );
  });

  it("copies next to nothing of a large grid for an event", () => {
    const state = play([...manySteps(10_000)].slice(0, 50_000));
    const step = id("train[run=7000]");
    const after = reduce(state, { n: 1e6, t: state.now, type: "step-cached", step, key: "k" as never });
    expect(stepById(after, step)?.phase).toBe("cached");
    expect(after.index).toBe(state.index);
    const copied = after.steps.chunks.filter((chunk, which) => chunk !== state.steps.chunks[which]);
    expect(copied).toHaveLength(1);
    expect(copied[0]?.length).toBeLessThanOrEqual(256);
    expect(after.nodes[0]).toBe(state.nodes[0]);
  });

  it("takes 100,000 events of 10,000 steps", () => {
    const events = [...manySteps(10_000)];
    expect(events.length).toBeGreaterThan(100_000);
    const state = play(events);
    expect(state.counts.succeeded).toBe(10_000);
    expectConsistent(state);
  });
});

describe("retries", () => {
  const at = (n: number, body: object): RunEvent => ({ n, t: 1000 * n, ...body }) as RunEvent;
  const plan = at(1, {
    type: "plan-ready",
    nodes: [
      {
        name: "train",
        type: "head.train",
        axes: ["gamma"],
        steps: [id("train[gamma=0]"), id("train[gamma=5]")],
      },
    ],
    statuses: ["run", "run"],
    executions: { atLeast: 2, atMost: 2 },
  });
  const step = id("train[gamma=0]");
  const start = (n: number, attempt: number): RunEvent =>
    at(n, { type: "step-started", step, attempt, phase: "run", worker: 0 });
  const fail = (n: number, willRetry: boolean): RunEvent =>
    at(n, {
      type: "step-failed",
      step,
      attempt: 1,
      duration: 500,
      error: { kind: "node", message: "no" },
      willRetry,
    });

  it("waits in the queue with its error until the next attempt, which may succeed", () => {
    const waiting = play([plan, start(2, 1), fail(3, true)]);
    expect(stepById(waiting, step)).toMatchObject({ phase: "queued", error: { message: "no" } });
    expect(failedSteps(waiting)).toEqual([]);
    const done = play(
      [start(4, 2), at(5, { type: "step-succeeded", step, key: "k", duration: 700 })],
      waiting,
    );
    expect(stepById(done, step)).toMatchObject({ phase: "succeeded", attempt: 2 });
    expect(stepById(done, step)).not.toHaveProperty("error");
    expect(timeByNode(done)[0]).toMatchObject({ spent: 1200, share: 1 });
  });

  it("waits in a cluster's queue for a reason, runs on a node, and waits again where that is lost", () => {
    const pending = (n: number, reason: string): RunEvent => at(n, { type: "step-pending", step, reason });
    const waiting = play([plan, pending(2, "Resources")]);
    expect(stepById(waiting, step)).toMatchObject({ phase: "queued", pending: "Resources" });
    const place = { host: "gpu-7", gpus: [1] };
    const running = reduce(
      waiting,
      at(3, { type: "step-started", step, attempt: 1, phase: "run", worker: 0, ...place }),
    );
    expect(stepById(running, step)).toMatchObject({ phase: "running", ...place });
    expect(stepById(running, step)).not.toHaveProperty("pending");
    const lost = reduce(running, pending(4, "submitted again"));
    expect(stepById(lost, step)).toMatchObject({ phase: "queued", pending: "submitted again" });
    expect(stepById(lost, step)).not.toHaveProperty("host");
    expect(runningSteps(lost)).toEqual([]);
  });

  it("waits for its other inputs once its files are hashed", () => {
    const scanning = play([
      plan,
      at(2, { type: "step-started", step, attempt: 1, phase: "scan", worker: 0 }),
      at(3, { type: "step-progress", step, done: 1, total: 1, unit: "file" }),
    ]);
    expect(runningSteps(scanning).map((one) => one.id)).toEqual([step]);
    const scanned = reduce(scanning, at(4, { type: "step-scanned", step }));
    expect(runningSteps(scanned)).toEqual([]);
    expect(stepById(scanned, step)).toMatchObject({ phase: "waiting" });
    expect(stepById(scanned, step)).not.toHaveProperty("progress");
  });

  it("leaves the list of failures when it is queued again", () => {
    const failed = play([plan, start(2, 1), fail(3, false)]);
    expect(failedSteps(failed).map((one) => one.id)).toEqual([step]);
    const again = reduce(failed, at(4, { type: "step-queued", step, why: { kind: "first-time" } }));
    expect(failedSteps(again)).toEqual([]);
    expect(queuedSteps(again, 5).map((one) => one.id)).toEqual([step]);
  });
});

describe("selectors", () => {
  const t0 = 1_000_000;
  const at = (seconds: number, body: object): RunEvent =>
    ({ n: 0, t: t0 + 1000 * seconds, ...body }) as RunEvent;
  const ids = ["a", "b", "c", "d"].map((name) => id(`train[run=${name}]`));
  const step = ids[0] as StepId;
  const plan = at(0, {
    type: "plan-ready",
    nodes: [{ name: "train", type: "head.train", axes: ["run"], steps: ids }],
    statuses: ["run", "run", "run", "hit"],
    executions: { atLeast: 3, atMost: 3 },
  });
  const started = at(0, { type: "step-started", step, attempt: 1, phase: "run", worker: 0 });
  const progress = (seconds: number, done: number, loss: number): RunEvent =>
    at(seconds, { type: "step-progress", step, done, total: 100, unit: "step", series: { loss } });

  it("knows rate, share and what remains of a step from its progress", () => {
    const state = play([plan, started, progress(2, 20, 3), progress(4, 40, 2)]);
    const running = stepById(state, step);
    if (!running) throw new Error("no such step");
    expect(rate(running)).toBeCloseTo(10);
    expect(share(running)).toBeCloseTo(0.4);
    expect(stepRemaining(state, running, state.now)).toBeCloseTo(6000);
    expect(seriesHistory(running, "loss")).toEqual([3, 2]);
  });

  it("does not take what a checkpoint had done for the rate of this attempt", () => {
    const state = play([plan, started, progress(1, 90, 1), progress(3, 92, 1)]);
    expect(rate(stepById(state, step) ?? ({} as never))).toBeCloseTo(1);
  });

  it("estimates the run from what its steps took, and counts neither hits nor shared steps", () => {
    const done = at(10, { type: "step-succeeded", step, key: "k", duration: 10_000 });
    const state = play([plan, started, done]);
    // b and c take 10 s each on the one worker that was busy; d is a hit.
    expect(eta(state)).toEqual({ milliseconds: 20_000, atLeast: false });
    const over = at(11, { type: "run-finished", outcome: "interrupted", duration: 11_000, results: [] });
    expect(eta(reduce(state, over))).toBeUndefined();
  });

  it("keeps a bounded history that still spans the whole series", () => {
    const events = [plan, started];
    for (let index = 0; index < 5000; index += 1) events.push(progress(index, index, 5000 - index));
    const history = seriesHistory(stepById(play(events), step) ?? ({} as never), "loss");
    expect(history.length).toBeLessThanOrEqual(128);
    expect(history.length).toBeGreaterThan(32);
    expect(history[0]).toBeGreaterThan(4900);
    expect(history.at(-1)).toBeLessThan(150);
  });

  it("keeps the tail of a step's log and of all logs, and counts what it dropped", () => {
    const events: RunEvent[] = [plan];
    for (let index = 0; index < 1000; index += 1)
      events.push(at(index, { type: "step-log", step, level: "info", message: `line ${index}` }));
    const state = play(events);
    expect(logTail(state, step, 2).map(({ message }) => message)).toEqual(["line 998", "line 999"]);
    expect(logTail(state, undefined, 1)[0]?.message).toBe("line 999");
    const kept = stepById(state, step);
    expect(kept?.logged).toBe(1000);
    expect(kept?.log.length).toBeLessThanOrEqual(200);
  });
});
