import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Store } from "../../cache/types.ts";
import type {
  ExecutionListener,
  ExecutionOutcome,
  Executor,
  Placement,
  StepRequest,
} from "../../engine/executors/types.ts";
import type { RunEvent } from "../../engine/model/events.ts";
import type { Grid } from "../../engine/model/grid.ts";
import type { RunControls } from "../../engine/model/reporter.ts";
import { createPlanner } from "../../engine/plan/planner.ts";
import { startRun } from "../../engine/run/run-grid.ts";
import type { RunInput, RunOptions, RunOutcome } from "../../engine/run/types.ts";

/** What a step's attempt ends with; text is its output. */
export type Serve = (request: StepRequest) => string | ExecutionOutcome | Promise<string | ExecutionOutcome>;

/** An output that depends on nothing but the key, as that of a step should. */
export const honest: Serve = (request) =>
  request.kind === "run" ? createHash("sha256").update(request.key).digest("hex") : "";

export const failure: ExecutionOutcome = {
  kind: "failed",
  error: { kind: "node", message: "not today" },
  transient: false,
};

/** An execution that goes on. */
interface Pending {
  readonly request: StepRequest;
  readonly placement: Placement;
  readonly end: () => void;
}

export interface PlayOptions extends Partial<RunOptions> {
  readonly store: Store;
  readonly serve?: Serve;
  readonly force?: (step: number) => boolean;
  readonly selection?: RunInput["selection"];
  readonly onEvent?: (event: RunEvent, controls: RunControls) => void;
  /** Which of so many executions that go on ends next; without it each ends as soon as it can. */
  readonly next?: (pending: readonly Pending[]) => number;
}

export interface Played {
  readonly outcome: RunOutcome;
  readonly events: readonly RunEvent[];
  /** Steps in the order in which they were given to a worker, with what these were given. */
  readonly started: readonly { readonly step: string; readonly placement: Placement }[];
}

/** Runs a grid without processes. */
export async function play(grid: Grid, options: PlayOptions): Promise<Played> {
  const { force, next, onEvent, selection, serve = honest, store, ...rest } = options;
  const events: RunEvent[] = [];
  const started: { step: string; placement: Placement }[] = [];
  const pending: Pending[] = [];

  const outcomeOf = async (request: StepRequest): Promise<ExecutionOutcome> => {
    const served = await serve(request);
    if (typeof served !== "string") return served;
    if (request.kind === "scan") return { kind: "scanned" };
    const out = { ...(await store.objects.putBytes(Buffer.from(served))), kind: "file" as const };
    return { kind: "done", outputs: { out }, provenance: {}, peakMemory: 0 };
  };
  const turn = async (request: StepRequest, placement: Placement): Promise<void> => {
    if (!next) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    pending.push({ request, placement, end: resolve });
    // What else can start has started by then.
    await setImmediate();
    const [chosen] = pending.splice(next(pending), 1);
    chosen?.end();
    await promise;
  };
  const executor: Executor = {
    execute(request: StepRequest, placement: Placement, listener: ExecutionListener) {
      started.push({ step: request.step, placement });
      listener.started(0);
      const outcome = turn(request, placement).then(() => outcomeOf(request));
      return { outcome, cancel: () => {} };
    },
    close: async () => {},
  };
  const run = startRun({
    grid,
    planner: createPlanner({ grid, store, ...(force && { force }) }),
    store,
    executor,
    sink: (event) => {
      events.push(event);
      onEvent?.(event, run.controls);
    },
    run: await store.createRun(),
    version: "test",
    invocation: { sets: [], cwd: "/" },
    ...(selection && { selection }),
    options: {
      slots: { cpu: 1, memory: 0, gpu: 0, other: {} },
      keepGoing: false,
      backend: "cpu",
      checkpointMinutes: 5,
      ...rest,
    },
  });
  return { outcome: await run.outcome, events, started };
}

/** The events of one type. */
export function of<T extends RunEvent["type"]>(
  events: readonly RunEvent[],
  type: T,
): readonly (RunEvent & { type: T })[] {
  return events.filter((event) => event.type === type) as never;
}
