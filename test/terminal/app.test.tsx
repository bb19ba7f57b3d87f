import { render } from "ink-testing-library";
import { createElement } from "react";
import stringWidth from "string-width";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunEvent } from "../../engine/model/events.ts";
import type { StepId } from "../../engine/model/ids.ts";
import { initialRunState, reduce } from "../../engine/model/run-state.ts";
import type { RunState } from "../../engine/model/run-state.ts";
import { App } from "../../engine/tui/components/app.tsx";
import { createLook } from "../../engine/tui/look.ts";
import { runningPaneRows } from "../../engine/tui/rows/running-rows.ts";
import { createRunStore } from "../../engine/tui/store.ts";
import { initialUi } from "../../engine/tui/ui-state.ts";
import { nodeRows, viewOf } from "../../engine/tui/view.ts";
import { gridRun } from "./fixtures/grid-run.ts";

let unmount = (): void => undefined;

beforeEach(() => {
  vi.stubEnv("LINES", "24");
  vi.stubEnv("COLUMNS", "100");
});
afterEach(() => {
  unmount();
  vi.unstubAllEnvs();
});

/** Ink's test terminal is 100 columns wide, and takes its rows from the environment. */
function frame(state: RunState): readonly string[] {
  const store = createRunStore(state);
  const look = createLook({ unicode: true, color: false });
  const app = render(
    createElement(App, {
      store,
      controls: undefined,
      onLeave: () => undefined,
      clock: () => state.now,
      look,
    }),
  );
  unmount = () => app.unmount();
  return (app.lastFrame() ?? "").split("\n");
}

const play = (events: readonly RunEvent[]): RunState => events.reduce(reduce, initialRunState);
const at = (n: number, body: object): RunEvent => ({ n, t: 1_000_000 + n * 1000, ...body }) as RunEvent;

/** One running step whose id, log and error are what the test likes. */
function oneStep(id: string, message: string): RunState {
  const step = id as StepId;
  return play([
    at(0, {
      type: "plan-ready",
      nodes: [{ name: id, type: "t", axes: [], steps: [step] }],
      statuses: ["run"],
      executions: { atLeast: 1, atMost: 1 },
    }),
    at(1, { type: "step-started", step, attempt: 1, phase: "run", worker: 0 }),
    at(2, { type: "step-progress", step, done: 1, total: 2, series: { loss: 1 } }),
    at(3, { type: "step-log", step, level: "info", message }),
  ]);
}

describe("a frame", () => {
  it("before anything is known says that it starts", () => {
    const rows = frame(initialRunState);
    expect(rows[0]).toContain("ranflow  starting");
    expect(rows.join("\n")).toContain("q leave");
  });

  it("has the same width in every row, and one row less than the terminal", () => {
    const rows = frame(play(gridRun({ gammas: 4 }).slice(0, 900)));
    expect(rows.length).toBeLessThan(24);
    for (const row of rows) expect(stringWidth(row)).toBeLessThanOrEqual(100);
  });

  it("keeps its columns with wide characters, emoji and combining marks in names", () => {
    const rows = frame(oneStep("胸部X線-訓練-👩🏽‍🔬-é-胸部胸部胸部胸部胸部胸部胸部", "放射線 👩🏽‍🔬 ".repeat(20)));
    for (const row of rows) expect(stringWidth(row)).toBeLessThanOrEqual(100);
    const node = rows.find((row) => row.includes("❯"));
    expect(stringWidth(node ?? "")).toBe(100);
    expect(node).toMatch(/0\/1$/);
  });

  it("says what a cluster's steps wait for, and on which node and GPU they run", () => {
    const ids = ["a", "b"] as StepId[];
    const events = [
      at(0, {
        type: "plan-ready",
        nodes: [{ name: "train", type: "t", axes: [], steps: ids }],
        statuses: ["run", "run"],
        executions: { atLeast: 2, atMost: 2 },
      }),
      ...ids.flatMap((step, i) => [
        at(1 + i, { type: "step-queued", step, why: { kind: "first-time" } }),
        at(3 + i, { type: "step-pending", step, reason: "Resources" }),
      ]),
    ];
    expect(frame(play(events))[0]).toContain("waiting: Resources");
    unmount();
    const place = { worker: 0, host: "node-with-a-long-name", gpus: [1] };
    const rows = frame(
      play([...events, at(5, { type: "step-started", step: "a", attempt: 1, phase: "run", ...place })]),
    );
    expect(rows[0]).toContain("running");
    expect(rows.join("\n")).toMatch(/node-w.* g1/);
    for (const row of rows) expect(stringWidth(row)).toBeLessThanOrEqual(100);
  });

  it("names the node also in the half of a terminal that has two columns", () => {
    const place = { worker: 0, host: "n1", gpus: [0] };
    const state = play([
      at(0, {
        type: "plan-ready",
        nodes: [{ name: "a", type: "t", axes: [], steps: ["a"] }],
        statuses: ["run"],
        executions: { atLeast: 1, atMost: 1 },
      }),
      at(1, { type: "step-started", step: "a", attempt: 1, phase: "run", ...place }),
      at(2, { type: "step-progress", step: "a", done: 1, total: 2, series: { loss: 1 } }),
    ]);
    const view = viewOf(state, initialUi, nodeRows(state, ""));
    const look = createLook({ unicode: true, color: false });
    const [row = []] = runningPaneRows(view, state.now, { width: 74, rows: 1 }, look);
    const text = row.map((span) => span.text).join("");
    expect(text).toContain("n1 g0");
    expect(stringWidth(text)).toBeLessThanOrEqual(74);
  });

  it("has no control sequence but its own, whatever steps, pipelines and errors are called", () => {
    const evil = "x\u001b]52;c;eA==\u0007\u001b[2J\u009b1A\u202ey\nz";
    const step = evil as StepId;
    const rows = frame(
      play([
        at(0, {
          type: "run-started",
          run: evil,
          pipeline: evil,
          path: evil,
          store: evil,
          version: evil,
          pid: 1,
          backend: evil,
          slots: { cpu: 1, memory: 0, gpu: 0 },
        }),
        at(1, {
          type: "plan-ready",
          nodes: [{ name: evil, type: evil, axes: [evil], steps: [step, "other" as StepId] }],
          statuses: ["run", "run"],
          executions: { atLeast: 2, atMost: 2 },
        }),
        at(2, { type: "step-started", step, attempt: 1, phase: "run", worker: 0 }),
        at(3, { type: "step-progress", step, done: 1, total: 0, unit: evil, series: { [evil]: 1 } }),
        at(4, { type: "step-log", step, level: "warning", message: evil }),
        at(5, { type: "step-started", step: "other", attempt: 1, phase: "run", worker: 1 }),
        at(6, {
          type: "step-failed",
          step: "other",
          attempt: 1,
          duration: 1,
          willRetry: false,
          error: { kind: evil, message: evil, hint: evil, at: evil },
        }),
      ]),
    );
    const styles = new RegExp(String.raw`\u001b\[[0-9;]*m`, "g");
    expect(rows.join("").replace(styles, "")).not.toMatch(/\p{Cc}|\u202e/u);
    // A line break in a name begins no row.
    expect(rows.filter((row) => row.startsWith("z"))).toEqual([]);
    expect(rows.length).toBeLessThan(24);
    for (const row of rows) expect(stringWidth(row)).toBeLessThanOrEqual(100);
  });

  it("is not moved by escape sequences and line ends in logs", () => {
    const rows = frame(oneStep("train", "a\u001b[2J\u001b[10;10Hb\r\nc\td\u0007"));
    const text = rows.join("\n");
    // oxlint-disable-next-line no-control-regex -- these are what must not be there
    expect(text).not.toMatch(/\u001b\[2J|\u001b\[10;10H|\u0007|\r/);
    expect(rows.filter((row) => row.includes("train  ab"))).toHaveLength(1);
    expect(text).toMatch(/c {2}d/);
  });
});
