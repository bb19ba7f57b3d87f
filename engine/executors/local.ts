import type { Answerer, Execution, ExecutionOutcome, Executor, Placement } from "./types.ts";
import type { WorkerRequest } from "../model/protocol.ts";
import { keepsCheckpoint, startWorker } from "./worker-process.ts";
import type { WorkerProcess } from "./worker-process.ts";

export interface LocalExecutorOptions {
  readonly storeRoot: string;
  /** URLs of modules that export `library`. */
  readonly libraryUrls: readonly string[];
  readonly answer: Answerer;
  /** How many idle processes are kept warm. */
  readonly warm: number;
  /** What CUDA calls the devices behind the gpu slots, by slot number. */
  readonly devices: readonly string[];
  /** A process that keeps more bytes than this after a step is not used again. Default 1.5 GiB. */
  readonly recycleAbove?: number;
}

interface Idle {
  readonly worker: WorkerProcess;
  readonly placement: string;
}

/** A request that no process serves yet. */
interface Waiting {
  readonly placement: string;
  /** Lets a process serve it. */
  readonly serve: (worker: WorkerProcess) => void;
  readonly settle: (outcome: ExecutionOutcome) => void;
}

const defaultRecycleAbove = 1.5 * 2 ** 30;

/**
 * Runs steps in this machine's worker processes: started when first needed, kept warm, one step at a time each. A
 * request waits for the first that can serve it, be it one that is starting or one whose step ends before that.
 */
export function createLocalExecutor(options: LocalExecutorOptions): Executor {
  const recycleAbove = options.recycleAbove ?? defaultRecycleAbove;
  /** Least recently used first. */
  let idle: readonly Idle[] = [];
  let waiting: readonly Waiting[] = [];
  /** Placements of the processes that are starting: never fewer of one than requests that wait for it. */
  let starting: readonly string[] = [];
  const all = new Set<WorkerProcess>();
  let requests = 0;
  let closed = false;

  const discard = async (worker: WorkerProcess): Promise<void> => {
    await worker.close();
    all.delete(worker);
  };

  const takeIdle = (placement: string): WorkerProcess | undefined => {
    const found = idle.findLast((entry) => entry.placement === placement && entry.worker.usable());
    idle = idle.filter((entry) => entry !== found);
    return found?.worker;
  };

  const takeWaiting = (placement: string): Waiting | undefined => {
    const found = waiting.find((entry) => entry.placement === placement);
    waiting = waiting.filter((entry) => entry !== found);
    return found;
  };

  const start = async (placement: Placement, key: string): Promise<void> => {
    starting = [...starting, key];
    const worker = startWorker({
      ...options,
      number: lowestFree(all),
      env: environment(placement, options.devices),
    });
    all.add(worker);
    const error = await worker.started;
    starting = starting.toSpliced(starting.indexOf(key), 1);
    if (error) {
      all.delete(worker);
      takeWaiting(key)?.settle({ kind: "failed", error, transient: false });
    } else {
      offer(worker, key);
    }
  };

  /** Gives a process its next request, or keeps it warm. */
  const offer = (worker: WorkerProcess, placement: string): void => {
    const next = closed ? undefined : takeWaiting(placement);
    if (next) {
      next.serve(worker);
      return;
    }
    idle = [...idle, { worker, placement }];
    while (idle.length > options.warm) {
      const [oldest, ...rest] = idle;
      idle = rest;
      if (oldest) void discard(oldest.worker);
    }
  };

  const release = (worker: WorkerProcess, placement: string, outcome: ExecutionOutcome): void => {
    const { usable, residentMemory } = worker;
    if (!closed && usable() && !leavesDoubt(outcome) && residentMemory() <= recycleAbove) {
      offer(worker, placement);
    } else {
      void discard(worker);
    }
  };

  return {
    expect(placement) {
      if (all.size === 0) void start(placement, keyOf(placement));
    },
    execute(request, placement, listener): Execution {
      const key = keyOf(placement);
      const numbered = { ...request, request: requests++ } as WorkerRequest;
      const { promise, resolve: settle } = Promise.withResolvers<ExecutionOutcome>();
      let cancel: Execution["cancel"] = () => {
        waiting = waiting.filter((other) => other !== entry);
        void keepsCheckpoint(numbered, options.storeRoot).then((checkpointed) =>
          settle({ kind: "cancelled", checkpointed }),
        );
      };
      const serve = (worker: WorkerProcess): void => {
        ({ cancel } = worker);
        void worker.serve(numbered, listener).then((outcome) => {
          // The process may serve another request before the scheduler has heard of this one's end.
          cancel = () => {};
          release(worker, key, outcome);
          settle(outcome);
        });
      };
      const entry: Waiting = { placement: key, serve, settle };
      const warm = takeIdle(key);
      if (warm) {
        serve(warm);
      } else {
        waiting = [...waiting, entry];
        // A busy process may have taken the request that another was started for: that other serves this one.
        if (
          starting.filter((other) => other === key).length <
          waiting.filter((other) => other.placement === key).length
        )
          void start(placement, key);
      }
      return { outcome: promise, cancel: (how) => cancel(how) };
    },
    async close() {
      closed = true;
      await Promise.all([...all].map(discard));
    },
  };
}

/** Processes of one key serve each other's steps. */
function keyOf({ gpus, threads }: Placement): string {
  return JSON.stringify([threads, gpus]);
}

/** A process in which something unexpected happened may hold half-changed state: the next step gets a fresh one. */
function leavesDoubt(outcome: ExecutionOutcome): boolean {
  return outcome.kind === "cancelled" || (outcome.kind === "failed" && outcome.error.kind !== "node");
}

function lowestFree(workers: ReadonlySet<WorkerProcess>): number {
  const taken = new Set([...workers].map((worker) => worker.number));
  let number = 0;
  while (taken.has(number)) number++;
  return number;
}

/** Compute libraries read these once, when they are loaded: so they are fixed per process. */
function environment({ threads, gpus }: Placement, devices: readonly string[]): Record<string, string> {
  const count = String(threads);
  return {
    RANFLOW_THREADS: count,
    OMP_NUM_THREADS: count,
    TF_NUM_INTRAOP_THREADS: count,
    TF_NUM_INTEROP_THREADS: count,
    // A step without a gpu slot must not see any: TensorFlow would take all of its memory from those that have one.
    CUDA_VISIBLE_DEVICES: gpus.length > 0 ? gpus.map((gpu) => devices[gpu] ?? String(gpu)).join(",") : "-1",
    TF_FORCE_GPU_ALLOW_GROWTH: "true",
    TF_CPP_MIN_LOG_LEVEL: process.env["TF_CPP_MIN_LOG_LEVEL"] ?? "2",
  };
}
