import type { StepId } from "../ids.ts";
import type { LogLine, NodeState, PhaseCounts, RunState, StepState } from "./types.ts";
import { get } from "./chunked.ts";

/** The step at an index of the plan; undefined outside. */
export function stepAt(state: RunState, index: number): StepState | undefined {
  return get(state.steps, index);
}

/** The step with an id; undefined where the plan has none. */
export function stepById(state: RunState, id: StepId): StepState | undefined {
  const at = state.index.get(id);
  return at === undefined ? undefined : get(state.steps, at);
}

/** Running steps, in order of start. */
export function runningSteps(state: RunState): readonly StepState[] {
  return present(state, state.running);
}

/** Failed steps, in order of failure. */
export function failedSteps(state: RunState): readonly StepState[] {
  return present(state, state.failed);
}

/** The first `most` queued steps, in plan order. Nodes without any are passed over. */
export function queuedSteps(state: RunState, most: number): readonly StepState[] {
  const found: StepState[] = [];
  for (const node of state.nodes) {
    let left = node.counts.queued;
    for (let at = node.first; at < node.first + node.size && left > 0; at += 1) {
      const step = get(state.steps, at);
      if (step?.phase !== "queued") continue;
      left -= 1;
      found.push(step);
      if (found.length >= most) return found;
    }
  }
  return found;
}

/** How many of the counted steps will not change any more, unless retried. */
export function settled(counts: PhaseCounts): number {
  return counts.succeeded + counts.cached + counts.shared + counts.failed + counts.skipped + counts.cancelled;
}

/** How many of the counted steps have their result. */
export function finished(counts: PhaseCounts): number {
  return counts.succeeded + counts.cached + counts.shared;
}

/** Units per second over the last samples; undefined until there are two. */
export function rate(step: StepState): number | undefined {
  const samples = step.progress?.samples ?? [];
  const first = samples[0];
  const last = samples.at(-1);
  if (!first || !last || last[0] <= first[0] || last[1] <= first[1]) return undefined;
  return ((last[1] - first[1]) * 1000) / (last[0] - first[0]);
}

/** The share of a step that is done, 0 to 1; undefined where its total is not known. */
export function share(step: StepState): number | undefined {
  const progress = step.progress;
  if (!progress || progress.total <= 0) return undefined;
  return Math.min(1, Math.max(0, progress.done / progress.total));
}

/** Milliseconds a running step still takes, from its live rate, else from recorded durations. */
export function stepRemaining(state: RunState, step: StepState, now: number): number | undefined {
  const progress = step.progress;
  const speed = rate(step);
  if (speed !== undefined && progress && progress.total > 0 && step.work === "run")
    return (Math.max(0, progress.total - progress.done) * 1000) / speed;
  const expected = expectedDuration(state, step);
  return expected === undefined || step.startedAt === undefined
    ? undefined
    : Math.max(0, expected - (now - step.startedAt));
}

/**
 * Milliseconds an execution of the step should take: the mean of this run's executions of the node, else what the
 * store recorded, else the mean of this run's executions of the node type.
 */
export function expectedDuration(state: RunState, step: StepState): number | undefined {
  const node = state.nodes[step.node];
  if (node && node.succeededCount > 0) return node.succeededSpent / node.succeededCount;
  if (step.expected !== undefined) return step.expected;
  let time = 0;
  let count = 0;
  for (const other of state.nodes) {
    if (other.type !== node?.type) continue;
    time += other.succeededSpent;
    count += other.succeededCount;
  }
  return count > 0 ? time / count : undefined;
}

export interface Eta {
  readonly milliseconds: number;
  /** True where some remaining steps have no known duration, so that it takes at least this long. */
  readonly atLeast: boolean;
}

/**
 * When the run should be done: what remains of the running steps and of those that will execute, divided by how
 * many ran at once so far. Undefined before anything is known. `hit` and `shared` steps count as nothing; what is
 * `unknown` counts as if it will run.
 */
export function eta(state: RunState, now: number = state.now): Eta | undefined {
  if (state.status !== "running") return undefined;
  let work = 0;
  let longest = 0;
  let unknown = 0;
  let known = 0;
  const book = (milliseconds: number | undefined, times = 1): void => {
    if (milliseconds === undefined) unknown += times;
    else {
      known += times;
      work += milliseconds * times;
      longest = Math.max(longest, milliseconds);
    }
  };
  for (const at of state.running) {
    const step = get(state.steps, at);
    if (step) book(stepRemaining(state, step, now));
  }
  for (const node of state.nodes) {
    if (node.counts.waiting + node.counts.queued === 0) continue;
    let first: StepState | undefined;
    let count = 0;
    for (let at = node.first; at < node.first + node.size; at += 1) {
      const step = get(state.steps, at);
      if (!step || (step.phase !== "waiting" && step.phase !== "queued")) continue;
      if (step.phase === "waiting" && (step.planned === "hit" || step.planned === "shared")) continue;
      // Every step of a node has the same expectation, save for what was recorded when it was queued.
      if (!first || (first.expected === undefined && step.expected !== undefined)) first = step;
      count += 1;
    }
    if (first) book(expectedDuration(state, first), count);
  }
  if (known === 0) return undefined;
  const parallel = Math.max(1, state.active > 0 ? state.busy / state.active : state.running.length);
  return { milliseconds: Math.max(work / parallel, longest), atLeast: unknown > 0 };
}

/** Milliseconds since the run began; its duration once it is over. */
export function elapsed(state: RunState, now: number = state.now): number {
  return state.duration ?? (state.startedAt === 0 ? 0 : Math.max(0, now - state.startedAt));
}

export interface NodeTime {
  readonly node: NodeState;
  /** Milliseconds of execution, failed attempts included. */
  readonly spent: number;
  /** Of all execution time, 0 to 1. */
  readonly share: number;
}

/** Where the time went: nodes that executed anything, the longest first. */
export function timeByNode(state: RunState): readonly NodeTime[] {
  const total = state.nodes.reduce((sum, node) => sum + node.spent, 0);
  return state.nodes
    .filter((node) => node.executed > 0)
    .map((node) => ({ node, spent: node.spent, share: total > 0 ? node.spent / total : 0 }))
    .toSorted((a, b) => b.spent - a.spent);
}

/** The last lines that a step logged, or all steps where none is given; oldest first. */
export function logTail(state: RunState, id: StepId | undefined, most: number): readonly LogLine[] {
  const lines = id === undefined ? state.log : (stepById(state, id)?.log ?? []);
  return most <= 0 ? [] : lines.slice(-most);
}

/** History of one series of a step, oldest first. */
export function seriesHistory(step: StepState, name: string): readonly number[] {
  return step.series[name]?.points ?? [];
}

/** The series to draw where there is room for one: `loss`, else the first one. */
export function mainSeries(step: StepState): string | undefined {
  return Object.hasOwn(step.series, "loss") ? "loss" : Object.keys(step.series)[0];
}

function present(state: RunState, indices: readonly number[]): readonly StepState[] {
  return indices.flatMap((at) => get(state.steps, at) ?? []);
}
