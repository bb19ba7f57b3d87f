import type { StepId } from "../model/ids.ts";
import { failedSteps, runningSteps, settled, stepAt, stepById } from "../model/run-state.ts";
import type { NodeState, RunState, StepPhase, StepState } from "../model/run-state.ts";
import type { Pane, UiState } from "./ui-state.ts";

/** A node that the filter lets through, with the indices of its steps that it lets through. */
export interface NodeRow {
  readonly node: NodeState;
  readonly steps: readonly number[];
}

/** What the panes show and the keys move over: the run under the filter, and what is selected in it. */
export interface View {
  readonly state: RunState;
  readonly rows: readonly NodeRow[];
  readonly running: readonly StepState[];
  readonly failed: readonly StepState[];
  /** The pane that keys move in: a pane that has become empty hands over to the nodes. */
  readonly focus: Pane;
  /** Index into `rows`; -1 where there is none. */
  readonly row: number;
  /** The step whose cell, row or failure is selected. */
  readonly step: StepState | undefined;
}

/** Node rows under a filter: expensive in a large grid, and the same as long as the plan and the filter are. */
export function nodeRows(state: RunState, filter: string): readonly NodeRow[] {
  const words = filter
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  return state.nodes.flatMap((node): NodeRow[] => {
    const steps: number[] = [];
    for (let at = node.first; at < node.first + node.size; at += 1) {
      const step = words.length === 0 ? undefined : stepAt(state, at);
      if (words.length === 0 || (step && matches(step.id, words))) steps.push(at);
    }
    return steps.length > 0 || words.length === 0 ? [{ node, steps }] : [];
  });
}

/** The view of a run. `known` are node rows made for the same plan and filter. */
export function viewOf(state: RunState, ui: UiState, known: readonly NodeRow[]): View {
  const words = ui.filter
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  const shown = (step: StepState): boolean => matches(step.id, words);
  // The rows' nodes are as old as the rows: counts must be of now.
  const rows = known.map((row) => ({
    node: state.nodes.find(({ name }) => name === row.node.name) ?? row.node,
    steps: row.steps,
  }));
  const running = runningSteps(state).filter(shown);
  const failed = failedSteps(state).filter(shown);
  const found = rows.findIndex(({ node }) => node.name === ui.node);
  const row = found < 0 ? activeRow(rows) : found;
  const lists = { running, failed };
  const focus = ui.focus !== "nodes" && lists[ui.focus].length > 0 ? ui.focus : "nodes";
  const chosen = ui.step === undefined ? undefined : stepById(state, ui.step);
  // A log that is open stays on its step when that leaves the list.
  const step =
    focus === "nodes" || ui.screen === "log"
      ? chosen
      : (lists[focus].find(({ id }) => id === ui.step) ?? lists[focus][0]);
  return { state, rows, running, failed, focus, row, step };
}

/** Until a person chooses a node, the run does: the first node with work, else the last one that is settled. */
function activeRow(rows: readonly NodeRow[]): number {
  const active = rows.findIndex(({ node }) => node.counts.running + node.counts.queued > 0);
  if (active >= 0) return active;
  const open = rows.findIndex(({ node }) => settled(node.counts) < node.size);
  return open >= 0 ? open : rows.length - 1;
}

/** The step of a node that a person most likely means: the first that failed, runs, or else the first. */
export function likelyStep(view: View): StepState | undefined {
  const row = view.rows[view.row];
  if (!row) return undefined;
  for (const phase of ["failed", "running", "queued"] as const) {
    if (row.node.counts[phase] === 0) continue;
    const found = row.steps.find((at) => stepAt(view.state, at)?.phase === phase);
    if (found !== undefined) return stepAt(view.state, found);
  }
  return row.steps[0] === undefined ? undefined : stepAt(view.state, row.steps[0]);
}

/** Phases of a row's steps, in grid order. */
export function phasesOf(state: RunState, row: NodeRow): readonly StepPhase[] {
  return row.steps.map((at) => stepAt(state, at)?.phase ?? "waiting");
}

function matches(id: StepId, words: readonly string[]): boolean {
  const text = id.toLowerCase();
  return words.every((word) => text.includes(word));
}
