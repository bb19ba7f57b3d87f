import { describe, expect, it } from "vitest";
import { initialRunState, reduce, stepById } from "../../engine/model/run-state.ts";
import type { RunState } from "../../engine/model/run-state.ts";
import { initialUi, press } from "../../engine/tui/ui-state.ts";
import type { Effect, Press, UiState } from "../../engine/tui/ui-state.ts";
import { nodeRows, viewOf } from "../../engine/tui/view.ts";
import type { View } from "../../engine/tui/view.ts";
import { gridRun } from "../terminal/fixtures/grid-run.ts";
import fc from "../rig/fast-check.ts";

const events = gridRun({ gammas: 3, failing: 0.3 });
/** All models are fine-tuned; some evaluations have failed, others run. */
const cut =
  events.findLastIndex((event) => event.type === "step-succeeded" && event.step.startsWith("finetune")) + 20;
const running = events.slice(0, cut).reduce(reduce, initialRunState);
const over = events.reduce(reduce, initialRunState);

interface Session {
  readonly ui: UiState;
  readonly view: View;
  readonly effects: readonly Effect[];
}

const char = (text: string): readonly Press[] => [...text].map((one) => ({ key: "char", char: one }));

function session(keys: readonly Press[], state: RunState = running, controls = true): Session {
  let ui = initialUi;
  const effects: Effect[] = [];
  const see = (): View => viewOf(state, ui, nodeRows(state, ui.filter));
  for (const key of keys) {
    const pressed = press(ui, key, { view: see(), page: 10, logLines: 35, controls });
    ui = pressed.ui;
    if (pressed.effect) effects.push(pressed.effect);
  }
  return { ui, view: see(), effects };
}

const anyKey: fc.Arbitrary<Press> = fc.oneof(
  fc.constantFrom<Press>(
    ...(["up", "down", "left", "right", "page-up", "page-down", "home", "end"] as const).map((key) => ({
      key,
    })),
    ...(["enter", "escape", "tab", "back-tab", "backspace", "interrupt"] as const).map((key) => ({ key })),
  ),
  fc.constantFrom(..."jklhgGqrx?/yn 5ae=").map((one): Press => ({ key: "char", char: one })),
);

describe("keys", () => {
  it("leave a valid view, whatever is pressed and whatever the run does meanwhile", () => {
    const states = [
      initialRunState,
      running,
      over,
      ...[5, 40, 200].map((to) => events.slice(0, to).reduce(reduce, initialRunState)),
    ];
    fc.assert(
      fc.property(fc.array(fc.tuple(anyKey, fc.constantFrom(...states)), { maxLength: 60 }), (presses) => {
        let ui = initialUi;
        for (const [key, state] of presses) {
          const view = viewOf(state, ui, nodeRows(state, ui.filter));
          if (view.rows.length > 0) expect(view.rows[view.row]).toBeDefined();
          if (view.step) expect(stepById(state, view.step.id)).toBe(view.step);
          const pressed = press(ui, key, { view, page: 10, logLines: 35, controls: true });
          if (pressed.effect?.kind === "cancel") expect(ui.dialog.kind).toBe("cancel");
          ui = pressed.ui;
        }
      }),
      { numRuns: 200 },
    );
  });

  it("select the node that the run is at, until a person selects another", () => {
    expect(session([]).view.rows[session([]).view.row]?.node.name).toBe("evaluate");
    expect(session(char("k")).ui.node).toBe("finetune");
    expect(session(char("g")).ui.node).toBe("roco");
    expect(session(char("Gj")).ui.node).toBe("summary");
  });

  it("walk along the steps of a node, beginning with the one that failed", () => {
    const first = session(char("l"));
    expect(first.view.step?.phase).toBe("failed");
    const next = session(char("ll"));
    const at = (view: View): number => view.state.index.get(view.step?.id ?? ("" as never)) ?? -1;
    expect(at(next.view)).toBe(at(first.view) + 1);
    expect(session([...char("ll"), { key: "escape" }]).view.step).toBeUndefined();
  });

  it("go through the panes that have anything in them", () => {
    const focus = (tabs: number, state?: RunState): string =>
      session(
        Array.from({ length: tabs }, (): Press => ({ key: "tab" })),
        state,
      ).view.focus;
    expect([0, 1, 2, 3].map((tabs) => focus(tabs))).toEqual(["nodes", "failed", "running", "nodes"]);
    expect([0, 1, 2].map((tabs) => focus(tabs, over))).toEqual(["nodes", "failed", "nodes"]);
    expect(session([{ key: "back-tab" }]).view.focus).toBe("running");
  });

  it("hand a pane that has become empty over to the nodes", () => {
    const { ui } = session([{ key: "tab" }, { key: "tab" }]);
    const view = viewOf(over, ui, nodeRows(over, ui.filter));
    expect(view.focus).toBe("nodes");
  });

  it("open a log, scroll it and follow it again", () => {
    const open = session([{ key: "enter" }]);
    expect(open.ui).toMatchObject({ screen: "log", logTop: undefined });
    expect(open.view.step?.phase).toBe("failed");
    const scroll = (keys: string): number | undefined => session([{ key: "enter" }, ...char(keys)]).ui.logTop;
    expect(scroll("k")).toBe(24);
    expect(scroll("kb")).toBe(14);
    expect(scroll("g")).toBe(0);
    expect(scroll("gk")).toBe(0);
    expect(scroll("gj")).toBe(1);
    expect(scroll("gG")).toBeUndefined();
    expect(scroll("kj")).toBeUndefined();
    const closed = session([{ key: "enter" }, ...char("kq")]);
    expect(closed.ui).toMatchObject({ screen: "main", logTop: undefined });
    expect(closed.effects).toEqual([]);
  });

  it("keep an open log on its step when the step is done", () => {
    const { ui, view } = session([{ key: "tab" }, { key: "tab" }, { key: "enter" }]);
    expect(view.step?.phase).toBe("running");
    const later = viewOf(over, ui, nodeRows(over, ui.filter));
    expect(later.step?.id).toBe(view.step?.id);
    expect(later.step?.phase).not.toBe("running");
  });

  it("filter by all of the words, in any order and case", () => {
    const typed = session(char("/MLP gamma=5"));
    expect(typed.view.rows.map(({ node }) => node.name)).toEqual(["finetune", "evaluate"]);
    expect(session([...char("/zzz"), { key: "enter" }]).view.rows).toEqual([]);
    expect(session([...char("/mlpx"), { key: "backspace" }, { key: "enter" }]).ui.filter).toBe("mlp");
    expect(session([...char("/mlp"), { key: "escape" }]).ui.filter).toBe("");
    // Letters of the filter are no commands.
    expect(session(char("/qrx")).effects).toEqual([]);
  });

  it("cancel a running step only after a yes", () => {
    const running = [{ key: "tab" }, { key: "tab" }] as const;
    const step = session(running).view.step?.id;
    expect(session([...running, ...char("xn")]).effects).toEqual([]);
    expect(session([...running, ...char("x"), { key: "enter" }]).effects).toEqual([]);
    expect(session([...running, ...char("xy")]).effects).toEqual([{ kind: "cancel", step }]);
    expect(session([...char("g"), ...char("xy")]).effects).toEqual([]);
    expect(session(char("gx")).ui.notice).toBe("select a running step to cancel it");
  });

  it("retry only where something failed, stop always", () => {
    expect(session(char("r")).effects).toEqual([{ kind: "retry" }]);
    const early = events.slice(0, 10).reduce(reduce, initialRunState);
    expect(session(char("r"), early).effects).toEqual([]);
    for (const before of ["", "/", "?", "x"])
      expect(session([...char(before), { key: "interrupt" }]).effects).toEqual([{ kind: "stop" }]);
  });

  it("ask nothing of a run that is only watched", () => {
    expect(session(char("rxy"), running, false).effects).toEqual([]);
    expect(session([{ key: "interrupt" }], running, false).effects).toEqual([{ kind: "leave" }]);
    expect(session(char("q"), running, false).effects).toEqual([{ kind: "leave" }]);
  });
});
