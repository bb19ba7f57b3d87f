import type { ExecutionOutcome, Placement, StepRequest } from "../executors/types.ts";
import type { ArtifactRef } from "../model/artifact.ts";
import type { Grid, Resources, Step, StepInput } from "../model/grid.ts";
import type { Planner } from "../plan/types.ts";
import { queueSlot } from "./slots.ts";
import type { Taken } from "./slots.ts";
import type { Work } from "./step-state.ts";
import type { RunOptions } from "./types.ts";

/** What a step's own scan found; undefined where its parameters name no external files. */
export type External = Extract<ExecutionOutcome, { kind: "scanned" }>["external"];

/** What a step holds while it is served. Threads given with `--threads` count as cpu slots, as far as there are any. */
export function demandOf(
  step: Step,
  kind: Work["action"]["kind"],
  { slots, threads }: RunOptions,
): Resources {
  if (kind === "scan") return { cpu: Math.min(1, slots.cpu), memory: 0, gpu: 0, other: {} };
  const { resources, slurm } = step;
  // A cluster has its own slots; of this machine it takes no more than its place among what may be queued at once.
  if (slurm) {
    const queued = slots.other[queueSlot] === undefined ? {} : { [queueSlot]: 1 };
    return { cpu: 0, memory: 0, gpu: 0, other: { ...resources.other, ...queued } };
  }
  return threads === undefined
    ? resources
    : { ...resources, cpu: Math.max(resources.cpu, Math.min(threads, slots.cpu)) };
}

/** Environment of the process that serves the step. */
export function placementOf(step: Step, taken: Pick<Taken, "gpus">, { threads }: RunOptions): Placement {
  const { resources, slurm } = step;
  return {
    threads: threads ?? Math.max(1, Math.round(resources.cpu)),
    gpus: taken.gpus,
    ...(slurm && { slurm: { options: slurm, resources } }),
  };
}

export interface RequestOptions {
  readonly grid: Grid;
  readonly planner: Planner;
  readonly work: Work;
  readonly external: External;
  readonly placement: Placement;
  readonly options: RunOptions;
  /** When the run began, in ms since the epoch. */
  readonly since: number;
}

/** Whether the step runs although there is a result for its key. */
export function isAnew({ why }: Extract<Work["action"], { kind: "run" }>): boolean {
  return why.kind === "forced" || why.kind === "not-cacheable";
}

/** The request that makes a worker do the planner's action. */
export function requestFor({
  grid,
  planner,
  work,
  external,
  placement,
  options,
  since,
}: RequestOptions): StepRequest {
  const { action } = work;
  const step = grid.steps[action.step] as Step;
  const { plugin, type } = step.nodeType;
  const common = { step: step.id, type, ...(plugin && { plugin }), params: step.params };
  if (action.kind === "scan") return { kind: "scan", ...common };
  return {
    kind: "run",
    ...common,
    inputs: Object.fromEntries(
      step.reads.flatMap((name) => {
        const input = step.inputs[name];
        return input ? [[name, resolveInput(input, planner, grid)] as const] : [];
      }),
    ),
    ...(external && { external: { root: external.root, list: external.list } }),
    seed: step.seed,
    ...(step.shard && { shard: step.shard }),
    // What must run in spite of a result makes its items anew, once in this run for the shards and what joins them.
    ...(isAnew(action) && { memoSince: since }),
    key: action.key,
    compute: { backend: options.backend, threads: placement.threads },
    checkpointMinutes: options.checkpointMinutes,
    gpus: placement.gpus,
  };
}

type RunRequest = Extract<StepRequest, { kind: "run" }>;

function resolveInput(input: StepInput, planner: Planner, grid: Grid): RunRequest["inputs"][string] {
  const artifact = ({ step, port }: { step: number; port: string }): ArtifactRef => {
    const found = planner.outputs(step)?.[port];
    if (!found) throw new Error(`internal error: ${grid.steps[step]?.id}.${port} is read before it is there`);
    return found;
  };
  return input.kind === "one"
    ? artifact(input)
    : input.items.map((item) => ({ at: item.at, artifact: artifact(item) }));
}
