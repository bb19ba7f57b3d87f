import type { StepId } from "../model/ids.ts";
import { stepAt } from "../model/run-state.ts";
import type { StepState } from "../model/run-state.ts";
import { likelyStep } from "./view.ts";
import type { View } from "./view.ts";

export type Pane = "nodes" | "running" | "failed";

/** What the person at the keyboard has done to the UI; everything else comes from the run. */
export interface UiState {
  readonly screen: "main" | "log" | "help";
  readonly focus: Pane;
  /** Name of the selected node; the first one where unset. */
  readonly node: string | undefined;
  /** The selected step. In the nodes pane, unset means the whole node. */
  readonly step: StepId | undefined;
  readonly filter: string;
  readonly dialog:
    | { readonly kind: "none" }
    /** Being typed. `before` comes back on escape. */
    | { readonly kind: "filter"; readonly before: string }
    | { readonly kind: "cancel"; readonly step: StepId };
  /** First line of the log in view; unset follows the tail. */
  readonly logTop: number | undefined;
  /** Said in the footer until the next key. */
  readonly notice: string | undefined;
}

export const initialUi: UiState = {
  screen: "main",
  focus: "nodes",
  node: undefined,
  step: undefined,
  filter: "",
  dialog: { kind: "none" },
  logTop: undefined,
  notice: undefined,
};

/** A key by name, or the character that was typed. */
export type Press =
  | { readonly key: "up" | "down" | "left" | "right" | "page-up" | "page-down" | "home" | "end" }
  | { readonly key: "enter" | "escape" | "tab" | "back-tab" | "backspace" | "interrupt" }
  | { readonly key: "char"; readonly char: string };

/** What a key asks of the run. */
export type Effect =
  | { readonly kind: "stop" }
  | { readonly kind: "retry" }
  | { readonly kind: "cancel"; readonly step: StepId }
  | { readonly kind: "leave" };

/** What keys need to know of the screen. */
export interface Context {
  readonly view: View;
  /** Rows of a page in the log, and lines of the log after wrapping. */
  readonly page: number;
  readonly logLines: number;
  /** False where the UI only watches. */
  readonly controls: boolean;
}

export interface Pressed {
  readonly ui: UiState;
  readonly effect?: Effect;
}

/** What a key does. Pure: the caller carries out the effect. */
export function press(ui: UiState, key: Press, context: Context): Pressed {
  const quiet: UiState = ui.notice === undefined ? ui : { ...ui, notice: undefined };
  if (key.key === "interrupt") return { ui: quiet, effect: { kind: context.controls ? "stop" : "leave" } };
  if (ui.dialog.kind === "filter") return { ui: typeFilter(quiet, ui.dialog.before, key) };
  if (ui.dialog.kind === "cancel") return answerCancel(quiet, ui.dialog.step, key);
  switch (ui.screen) {
    case "help":
      return { ui: { ...quiet, screen: "main" } };
    case "log":
      return { ui: scrollLog(quiet, key, context) };
    case "main":
      return pressMain(quiet, key, context);
  }
}

function pressMain(ui: UiState, key: Press, context: Context): Pressed {
  const { view } = context;
  switch (key.key) {
    case "char":
      return typed(ui, key.char, context);
    case "down":
      return { ui: move(ui, view, 1) };
    case "up":
      return { ui: move(ui, view, -1) };
    case "page-down":
      return { ui: move(ui, view, 10) };
    case "page-up":
      return { ui: move(ui, view, -10) };
    case "home":
      return { ui: move(ui, view, Number.NEGATIVE_INFINITY) };
    case "end":
      return { ui: move(ui, view, Number.POSITIVE_INFINITY) };
    case "right":
      return { ui: moveStep(ui, view, 1) };
    case "left":
      return { ui: moveStep(ui, view, -1) };
    case "tab":
      return { ui: nextPane(ui, view, 1) };
    case "back-tab":
      return { ui: nextPane(ui, view, -1) };
    case "enter":
      return { ui: openLog(ui, view) };
    case "escape":
      // One thing at a time: first the selected step, then the filter.
      if (ui.step !== undefined) return { ui: { ...ui, step: undefined, focus: "nodes" } };
      return { ui: { ...ui, filter: "", focus: "nodes" } };
    case "backspace":
    case "interrupt":
      return { ui };
    default:
      key satisfies never;
      return { ui };
  }
}

function typed(ui: UiState, char: string, context: Context): Pressed {
  const { view } = context;
  switch (char) {
    case "j":
      return { ui: move(ui, view, 1) };
    case "k":
      return { ui: move(ui, view, -1) };
    case "l":
      return { ui: moveStep(ui, view, 1) };
    case "h":
      return { ui: moveStep(ui, view, -1) };
    case "g":
      return { ui: move(ui, view, Number.NEGATIVE_INFINITY) };
    case "G":
      return { ui: move(ui, view, Number.POSITIVE_INFINITY) };
    case "/":
      return { ui: { ...ui, dialog: { kind: "filter", before: ui.filter } } };
    case "?":
      return { ui: { ...ui, screen: "help" } };
    case "q":
      return { ui, effect: { kind: "leave" } };
    case "r":
      return retry(ui, context);
    case "x":
      return { ui: askCancel(ui, context) };
    default:
      return { ui };
  }
}

function retry(ui: UiState, { view, controls }: Context): Pressed {
  if (!controls) return { ui: { ...ui, notice: "this window only watches the run" } };
  const failed = view.state.counts.failed;
  if (failed === 0) return { ui: { ...ui, notice: "no step has failed" } };
  const notice = `queued ${failed} failed step${failed === 1 ? "" : "s"} again`;
  return { ui: { ...ui, notice }, effect: { kind: "retry" } };
}

function askCancel(ui: UiState, { view, controls }: Context): UiState {
  if (!controls) return { ...ui, notice: "this window only watches the run" };
  const step = view.step ?? likelyStep(view);
  if (step?.phase !== "running") return { ...ui, notice: "select a running step to cancel it" };
  return { ...ui, dialog: { kind: "cancel", step: step.id } };
}

function answerCancel(ui: UiState, step: StepId, key: Press): Pressed {
  const yes = key.key === "char" && (key.char === "y" || key.char === "Y");
  const answered: UiState = { ...ui, dialog: { kind: "none" } };
  if (!yes) return { ui: answered };
  return { ui: { ...answered, notice: `cancelling ${step}` }, effect: { kind: "cancel", step } };
}

function typeFilter(ui: UiState, before: string, key: Press): UiState {
  // What was selected may be filtered out: selection starts over with every change.
  const filtered = (filter: string): UiState => ({ ...ui, filter, node: undefined, step: undefined });
  switch (key.key) {
    case "char":
      return filtered(ui.filter + key.char);
    case "backspace":
      return filtered([...ui.filter].slice(0, -1).join(""));
    case "enter":
      return { ...ui, dialog: { kind: "none" } };
    case "escape":
      return { ...filtered(before), dialog: { kind: "none" } };
    default:
      return ui;
  }
}

function scrollLog(ui: UiState, key: Press, { page, logLines }: Context): UiState {
  const last = Math.max(0, logLines - page);
  const top = ui.logTop ?? last;
  const scroll = (to: number): UiState => ({ ...ui, logTop: to >= last ? undefined : Math.max(0, to) });
  const name = key.key === "char" ? key.char : key.key;
  switch (name) {
    case "j":
    case "down":
      return scroll(top + 1);
    case "k":
    case "up":
      return scroll(top - 1);
    case " ":
    case "page-down":
      return scroll(top + page);
    case "b":
    case "page-up":
      return scroll(top - page);
    case "g":
    case "home":
      return scroll(0);
    case "G":
    case "end":
      return scroll(last);
    case "q":
    case "h":
    case "left":
    case "enter":
    case "escape":
      return { ...ui, screen: "main", logTop: undefined };
    default:
      return ui;
  }
}

function openLog(ui: UiState, view: View): UiState {
  const step = view.step ?? likelyStep(view);
  if (!step) return { ...ui, notice: "no step to show" };
  return { ...ui, screen: "log", step: step.id, logTop: undefined };
}

function move(ui: UiState, view: View, by: number): UiState {
  if (view.focus === "nodes") {
    const row = view.rows[clamp(view.row + by, view.rows.length)];
    return { ...ui, node: row?.node.name, step: undefined };
  }
  const list: readonly StepState[] = view[view.focus];
  const at = list.findIndex(({ id }) => id === view.step?.id);
  return { ...ui, step: list[clamp(at + by, list.length)]?.id };
}

/** Along the strip of the selected node; from nowhere, to the step that is most likely meant. */
function moveStep(ui: UiState, view: View, by: number): UiState {
  const row = view.rows[view.row];
  if (view.focus !== "nodes" || !row) return ui;
  const at = row.steps.findIndex((index) => stepAt(view.state, index)?.id === ui.step);
  const next =
    at < 0 ? likelyStep(view) : stepAt(view.state, row.steps[clamp(at + by, row.steps.length)] ?? -1);
  return { ...ui, node: row.node.name, step: next?.id };
}

function nextPane(ui: UiState, view: View, by: 1 | -1): UiState {
  const panes = (["nodes", "failed", "running"] as const).filter(
    (pane) => pane === "nodes" || view[pane].length > 0,
  );
  const at = panes.indexOf(view.focus);
  const focus = panes[(at + by + panes.length) % panes.length] ?? "nodes";
  return { ...ui, focus, step: focus === "nodes" ? undefined : view[focus][0]?.id };
}

function clamp(at: number, length: number): number {
  return Math.max(0, Math.min(length - 1, at));
}
