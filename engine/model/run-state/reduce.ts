import type { EventNode, RunEvent } from "../events.ts";
import type { Key, StepId } from "../ids.ts";
import { chunked, get, set, setAll } from "./chunked.ts";
import { addPoint, emptySeries, type Series } from "./series.ts";
import { stepPhases } from "./types.ts";
import type { LogLine, NodeState, PhaseCounts, Progress, RunState, StepPhase, StepState } from "./types.ts";

const keptStepLines = 200;
const keptStepLinesAfterSuccess = 40;
const keptRunLines = 300;
const keptSamples = 16;
const sampleSpacing = 1000;

/** What steps have that did nothing yet, shared by all of them. */
const noSeries: StepState["series"] = {};
const noLines: readonly LogLine[] = [];

const noCounts = Object.fromEntries(stepPhases.map((phase) => [phase, 0])) as PhaseCounts;

/** The state before the first event. */
export const initialRunState: RunState = {
  status: "idle",
  last: -1,
  pipeline: "",
  path: "",
  store: "",
  version: "",
  backend: "",
  slots: { cpu: 0, memory: 0, gpu: 0 },
  startedAt: 0,
  now: 0,
  executions: { atLeast: 0, atMost: 0 },
  nodes: [],
  steps: chunked([]),
  index: new Map(),
  counts: noCounts,
  running: [],
  failed: [],
  log: [],
  busy: 0,
  active: 0,
  results: [],
  lacking: [],
};

/**
 * The state after an event. Pure, total and cheap (its cost does not grow with the grid, except for `plan-ready`):
 * the same events give the same state, every prefix of a log is a valid state, and an event about a step that the
 * plan does not know changes nothing but the clock.
 */
export function reduce(before: RunState, event: RunEvent): RunState {
  const state = advance(before, event);
  switch (event.type) {
    case "run-started":
      return {
        ...state,
        status: "planning",
        run: event.run,
        pipeline: event.pipeline,
        path: event.path,
        store: event.store,
        ...(event.storeOption !== undefined && { storeOption: event.storeOption }),
        version: event.version,
        backend: event.backend,
        pid: event.pid,
        slots: event.slots,
        startedAt: event.t,
      };
    case "plan-ready":
      return {
        ...planned(state, event.nodes, event.statuses),
        status: state.status === "planning" || state.status === "idle" ? "running" : state.status,
        executions: event.executions,
        ...(event.selection && { selection: event.selection }),
      };
    case "step-queued":
      return change(state, event.step, ({ because: _, ...step }) => ({
        ...step,
        phase: "queued",
        why: event.why,
        ...(event.expected !== undefined && { expected: event.expected }),
      }));
    case "step-pending":
      return change(state, event.step, ({ host: _, gpus: __, ...step }) => ({
        ...step,
        phase: "queued",
        pending: event.reason,
      }));
    case "step-started":
      return change(state, event.step, ({ progress: _, gpus: __, host: ___, pending: ____, ...step }) => ({
        ...step,
        phase: "running",
        attempt: event.attempt,
        work: event.phase,
        worker: event.worker,
        ...(event.host !== undefined && { host: event.host }),
        ...(event.gpus && { gpus: event.gpus }),
        startedAt: event.t,
        series: event.phase === "run" ? noSeries : step.series,
      }));
    case "step-scanned":
      return change(
        state,
        event.step,
        ({ progress: _, worker: __, startedAt: ___, work: ____, ...step }) => ({
          ...step,
          phase: "waiting",
        }),
      );
    case "step-progress":
      return change(state, event.step, (step) => ({
        ...step,
        progress: progressed(step, event.t, event.done, event.total, event.unit),
        series: event.series ? extended(step.series, event.series) : step.series,
      }));
    case "step-log": {
      const line: LogLine = { t: event.t, step: event.step, level: event.level, message: event.message };
      const logged = change(state, event.step, (step) => ({
        ...step,
        log: kept(step.log, line, keptStepLines),
        logged: step.logged + 1,
      }));
      return { ...logged, log: kept(state.log, line, keptRunLines) };
    }
    case "steps-cached":
      return cached(state, event.steps, event.keys);
    case "step-cached":
      return change(state, event.step, (step) => ({ ...step, phase: "cached", key: event.key }));
    case "step-succeeded": {
      const shared = event.sharedWith !== undefined && event.sharedWith !== event.step;
      const after = change(state, event.step, ({ error: _, ...step }) => ({
        ...step,
        phase: shared ? "shared" : "succeeded",
        key: event.key,
        duration: event.duration,
        log: step.log.length === 0 ? noLines : step.log.slice(-keptStepLinesAfterSuccess),
        ...(shared && event.sharedWith && { because: event.sharedWith }),
        ...(event.metrics && { metrics: event.metrics }),
      }));
      return shared ? after : spent(after, event.step, event.duration, true);
    }
    case "step-failed": {
      const after = change(state, event.step, (step) => ({
        ...step,
        phase: event.willRetry ? "queued" : "failed",
        attempt: event.attempt,
        duration: event.duration,
        error: event.error,
      }));
      return spent(after, event.step, event.duration, false);
    }
    case "step-skipped":
      return change(state, event.step, (step) => ({ ...step, phase: "skipped", because: event.because }));
    case "step-cancelled":
      return change(state, event.step, (step) => ({
        ...step,
        phase: "cancelled",
        checkpointed: event.checkpointed,
      }));
    case "run-stopping":
      return { ...state, status: "stopping", stopping: event.how };
    case "run-finished":
      return {
        ...state,
        status: event.outcome,
        duration: event.duration,
        results: event.results,
        lacking: event.lacking ?? [],
      };
    default:
      // A log written by a newer version may hold events that this one does not know.
      event satisfies never;
      return state;
  }
}

function advance(state: RunState, event: RunEvent): RunState {
  const now = Math.max(state.now, event.t);
  const elapsed = state.now === 0 ? 0 : now - state.now;
  const running = state.running.length;
  return {
    ...state,
    last: event.n,
    now,
    startedAt: state.startedAt === 0 ? event.t : state.startedAt,
    busy: state.busy + elapsed * running,
    active: state.active + (running > 0 ? elapsed : 0),
  };
}

/** Lays the grid out. Steps of an earlier plan of the same run keep their state. */
function planned(
  state: RunState,
  nodes: readonly EventNode[],
  statuses: readonly StepState["planned"][],
): RunState {
  const steps: StepState[] = [];
  const index = new Map<StepId, number>();
  const nodeStates = nodes.map((node, which): NodeState => {
    const first = steps.length;
    const counts: Record<StepPhase, number> = { ...noCounts };
    for (const id of node.steps) {
      const known = state.index.get(id);
      const old = known === undefined ? undefined : get(state.steps, known);
      const status = statuses[steps.length] ?? "unknown";
      const step: StepState = old
        ? { ...old, node: which, planned: status }
        : {
            id,
            node: which,
            planned: status,
            phase: "waiting",
            attempt: 0,
            series: noSeries,
            log: noLines,
            logged: 0,
          };
      counts[step.phase] += 1;
      index.set(id, steps.length);
      steps.push(step);
    }
    const before = state.nodes.find(({ name }) => name === node.name);
    return {
      name: node.name,
      type: node.type,
      axes: node.axes,
      first,
      size: node.steps.length,
      counts,
      executed: before?.executed ?? 0,
      spent: before?.spent ?? 0,
      succeededSpent: before?.succeededSpent ?? 0,
      succeededCount: before?.succeededCount ?? 0,
      ...(before?.slowest && { slowest: before.slowest }),
    };
  });
  const counts: Record<StepPhase, number> = { ...noCounts };
  for (const node of nodeStates) for (const phase of stepPhases) counts[phase] += node.counts[phase];
  const reindexed = (old: readonly number[]): number[] =>
    old.flatMap((at) => {
      const id = get(state.steps, at)?.id;
      const place = id === undefined ? undefined : index.get(id);
      return place === undefined ? [] : [place];
    });
  return {
    ...state,
    nodes: nodeStates,
    steps: chunked(steps),
    index,
    counts,
    running: reindexed(state.running),
    failed: reindexed(state.failed),
  };
}

/** Changes one step and everything that is counted from its phase. */
function change(state: RunState, id: StepId, update: (step: StepState) => StepState): RunState {
  const at = state.index.get(id);
  const old = at === undefined ? undefined : get(state.steps, at);
  if (at === undefined || !old) return state;
  const step = update(old);
  const steps = set(state.steps, at, step);
  if (step.phase === old.phase) return { ...state, steps };
  const nodes = state.nodes.slice();
  const node = nodes[step.node];
  if (node) nodes[step.node] = { ...node, counts: moved(node.counts, old.phase, step.phase) };
  return {
    ...state,
    steps,
    nodes,
    counts: moved(state.counts, old.phase, step.phase),
    running: listed(state.running, at, old.phase === "running", step.phase === "running"),
    failed: listed(state.failed, at, old.phase === "failed", step.phase === "failed"),
  };
}

/** Changes many steps to cached at once: one event for a grid of hits costs no more than the grid. */
function cached(state: RunState, ids: readonly StepId[], keys: readonly Key[]): RunState {
  const changed = new Map<number, StepState>();
  const nodes = state.nodes.slice();
  let { counts, failed, running } = state;
  ids.forEach((id, i) => {
    const at = state.index.get(id);
    const old = at === undefined ? undefined : (changed.get(at) ?? get(state.steps, at));
    const key = keys[i];
    if (at === undefined || !old || key === undefined) return;
    changed.set(at, { ...old, phase: "cached", key });
    if (old.phase === "cached") return;
    const node = nodes[old.node];
    if (node) nodes[old.node] = { ...node, counts: moved(node.counts, old.phase, "cached") };
    counts = moved(counts, old.phase, "cached");
    running = listed(running, at, old.phase === "running", false);
    failed = listed(failed, at, old.phase === "failed", false);
  });
  return { ...state, steps: setAll(state.steps, changed), nodes, counts, running, failed };
}

function moved(counts: PhaseCounts, from: StepPhase, to: StepPhase): PhaseCounts {
  return { ...counts, [from]: counts[from] - 1, [to]: counts[to] + 1 };
}

function listed(list: readonly number[], at: number, was: boolean, is: boolean): readonly number[] {
  if (was === is) return list;
  return is ? [...list, at] : list.filter((other) => other !== at);
}

/** Books an execution's time to its node. */
function spent(state: RunState, id: StepId, duration: number, succeeded: boolean): RunState {
  const at = state.index.get(id);
  const which = at === undefined ? undefined : get(state.steps, at)?.node;
  const node = which === undefined ? undefined : state.nodes[which];
  if (which === undefined || !node) return state;
  const nodes = state.nodes.slice();
  nodes[which] = {
    ...node,
    executed: node.executed + 1,
    spent: node.spent + duration,
    succeededSpent: node.succeededSpent + (succeeded ? duration : 0),
    succeededCount: node.succeededCount + (succeeded ? 1 : 0),
    ...(duration > (node.slowest?.duration ?? -1) && { slowest: { step: id, duration } }),
  };
  return { ...state, nodes };
}

function progressed(
  step: StepState,
  t: number,
  done: number,
  total: number,
  unit: string | undefined,
): Progress {
  const before = step.progress;
  const name = unit ?? before?.unit ?? "";
  // Going back, or another unit, is a new pass: the old rate says nothing about it.
  const same = before && done >= before.done && before.unit === name;
  const samples = same ? before.samples : [];
  const last = samples.at(-1);
  const next =
    !last || t - last[0] >= sampleSpacing ? [...samples, [t, done] as const].slice(-keptSamples) : samples;
  return { done, total, unit: name, samples: next };
}

function extended(
  series: StepState["series"],
  values: Readonly<Record<string, number>>,
): Readonly<Record<string, Series>> {
  // By a map: a program may call its series `constructor`, which every object has.
  const next = new Map(Object.entries(series));
  for (const [name, value] of Object.entries(values))
    next.set(name, addPoint(next.get(name) ?? emptySeries, value));
  return Object.fromEntries(next);
}

function kept(lines: readonly LogLine[], line: LogLine, most: number): readonly LogLine[] {
  return lines.length < most ? [...lines, line] : [...lines.slice(1 - most), line];
}
