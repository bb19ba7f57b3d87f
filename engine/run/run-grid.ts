import { hostname } from "node:os";
import type { RosterEntry } from "../../cache/types.ts";
import type { EventNode } from "../model/events.ts";
import type { Grid } from "../model/grid.ts";
import type { StepStatus } from "../model/plan.ts";
import { openJournal } from "./journal.ts";
import { lackingResults } from "./lacking.ts";
import { createLedger } from "./ledger.ts";
import { placementOf } from "./requests.ts";
import { publishResults } from "./results.ts";
import { Scheduler } from "./scheduler.ts";
import { slotProblems } from "./slots.ts";
import type { RunInput, RunOutcome, StartedRun } from "./types.ts";

/**
 * Runs a grid and speaks through events alone; the controls take effect while the run goes on. Outcome `refused` where a
 * step asks for more slots than there are; what goes wrong in a step is an event and the outcome `failed`.
 */
export function startRun(input: RunInput): StartedRun {
  const journal = openJournal(input.run.folder, input.sink);
  const ledger = createLedger({ ...input, run: input.run.id });
  const scheduler = new Scheduler({ ...input, journal, ledger });
  return { controls: scheduler.controls, outcome: perform(input, { journal, ledger, scheduler }) };
}

interface Parts {
  readonly journal: ReturnType<typeof openJournal>;
  readonly ledger: ReturnType<typeof createLedger>;
  readonly scheduler: Scheduler;
}

async function perform(input: RunInput, { journal, ledger, scheduler }: Parts): Promise<RunOutcome> {
  const { grid, planner, store, run, options, version } = input;
  const startedAt = performance.now();
  await planner.start();
  const plan = planner.outline();
  const diagnostics = slotProblems(grid, options.slots, (step) => plan.statuses[step] !== "hit");
  if (diagnostics.length > 0) return { kind: "refused", diagnostics };
  expectFirst(input, plan.statuses);

  const { cpu, memory, gpu } = options.slots;
  journal.emit({
    type: "run-started",
    run: run.id,
    pipeline: grid.pipeline,
    path: grid.path,
    sets: input.invocation.sets,
    ...(input.invocation.profiles?.length && { profiles: input.invocation.profiles }),
    ...(input.invocation.steps?.length && { steps: input.invocation.steps }),
    ...(input.invocation.axes?.length && { axes: input.invocation.axes }),
    ...(input.invocation.force && { force: input.invocation.force }),
    cwd: input.invocation.cwd,
    store: store.root,
    ...(input.invocation.store !== undefined && { storeOption: input.invocation.store }),
    version,
    pid: process.pid,
    host: hostname(),
    slots: { cpu, memory, gpu },
    backend: options.backend,
  });
  journal.emit({
    type: "plan-ready",
    nodes: eventNodes(grid),
    statuses: plan.statuses,
    executions: plan.executions,
    ...(input.selection && { selection: input.selection }),
  });
  const outcome = await scheduler.run();
  const ledgerProblem = (await ledger.flush()) ?? (await recordRun());
  const finished = (step: number): boolean => scheduler.finished(step);
  const published = await publishResults({ grid, planner, store, finished });
  const lacking = lackingResults({ grid, planner, store, finished });
  journal.emit({
    type: "run-finished",
    outcome,
    duration: Math.round(performance.now() - startedAt),
    results: published.results,
    ...(lacking.length > 0 && { lacking }),
  });
  const problem = (await journal.close()) ?? ledgerProblem ?? published.problem;
  return { kind: "finished", outcome, ...(problem && { journalProblem: problem }) };

  /**
   * What this run had is what the pipeline keeps from now on. Steps that were not finished are left out, and shards:
   * theirs is the result of the step that joins them.
   */
  async function recordRun(): Promise<Error | undefined> {
    const results = grid.steps.flatMap(({ index, id, shard }): readonly RosterEntry[] => {
      const key = !shard && scheduler.finished(index) ? planner.key(index) : undefined;
      return key === undefined ? [] : [[id, key]];
    });
    const whole = outcome === "succeeded" && input.selection === undefined;
    try {
      const { profiles = [] } = input.invocation;
      const record = { run: run.id, pipeline: grid.pipeline, path: grid.path, whole, profiles };
      await store.recordRun(record, results);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }
}

/** Of a large grid it takes as long to tell what is planned as a worker takes to start: let it begin before that. */
function expectFirst({ executor, grid, options }: RunInput, statuses: readonly StepStatus[]): void {
  const first = grid.steps.find(({ index }) => statuses[index] === "run");
  if (first && first.resources.gpu === 0) executor.expect?.(placementOf(first, { gpus: [] }, options));
}

function eventNodes(grid: Grid): readonly EventNode[] {
  return grid.nodes.map(({ name, type, axes, steps }) => ({
    name,
    type,
    axes,
    steps: steps.flatMap((index) => grid.steps[index]?.id ?? []),
  }));
}
