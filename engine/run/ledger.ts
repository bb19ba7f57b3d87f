import { existsSync } from "node:fs";
import { hostname } from "node:os";
import type { Store } from "../../cache/types.ts";
import type { ExecutionOutcome } from "../executors/types.ts";
import type { ArtifactRef } from "../model/artifact.ts";
import type { Grid, Step } from "../model/grid.ts";
import type { Key, RunId, StepId } from "../model/ids.ts";
import type { StoredResult } from "../model/plan.ts";
import type { Action, Planner } from "../plan/types.ts";
import { readMeasured } from "./measured.ts";
import type { Metrics } from "./measured.ts";

type RunAction = Extract<Action, { kind: "run" }>;
type Done = Extract<ExecutionOutcome, { kind: "done" }>;

/** What a step's execution became in the store. */
export interface Committed {
  readonly result: StoredResult;
  readonly metrics: Metrics | undefined;
  /** Names of outputs whose bytes differ from an earlier result of the same key. */
  readonly differing: readonly string[];
}

/** Writes what a run learns into the store: results, pointers, durations. */
export interface Ledger {
  commit(action: RunAction, done: Done, times: { startedAt: number; finishedAt: number }): Promise<Committed>;
  /** The step's last result under the pipeline's name is this key's. Batched. */
  point(step: number, key: Key): void;
  /** The step has joined its shards: what says that they were made is of no use any more. */
  forgetShards(step: number): void;
  /** What a step with a `metrics` port measured; undefined without one, or where its bytes are gone. */
  metrics(step: number, outputs: Readonly<Record<string, ArtifactRef>>): Promise<Metrics | undefined>;
  /** Resolves when everything is written; returns the first error. */
  flush(): Promise<Error | undefined>;
}

export interface LedgerOptions {
  readonly grid: Grid;
  readonly planner: Planner;
  readonly store: Store;
  readonly run: RunId;
  readonly version: string;
}

/** Pointers and durations that wait for this long, in ms, are written together: a commit of their own costs a flush. */
const batchDelay = 100;
const batchSize = 1_000;

export function createLedger({ grid, planner, store, run, version }: LedgerOptions): Ledger {
  const durations = new Map<string, number[]>();
  let pointers: (readonly [StepId, { readonly key: Key; readonly run: RunId }])[] = [];
  let timer: NodeJS.Timeout | undefined;
  let problem: Error | undefined;
  const writes = new Set<Promise<void>>();
  const host = hostname();

  /** Follows a write whose failure costs no result: it is reported at the end of the run. */
  const follow = (write: Promise<void>): Promise<void> => {
    const followed = write
      .catch((error: Error) => void (problem ??= error))
      .finally(() => writes.delete(followed));
    writes.add(followed);
    return followed;
  };

  const writeBatch = (): void => {
    clearTimeout(timer);
    timer = undefined;
    // One turn of the event loop: LMDB commits all of them together.
    for (const [nodeType, milliseconds] of durations)
      void follow(store.recordDurations(nodeType, milliseconds));
    durations.clear();
    if (pointers.length > 0) void follow(store.point(grid.pipeline, pointers));
    pointers = [];
  };

  const metrics: Ledger["metrics"] = async (index, outputs) => {
    const { nodeType, shard } = grid.steps[index] as Step;
    if (shard) return undefined;
    const ports = Object.entries(nodeType.outputs);
    const name = ports.find(([, port]) => port.type === "metrics")?.[0];
    const artifact = name === undefined ? undefined : outputs[name];
    return artifact && readMeasured(store.objects.path(artifact.digest));
  };

  return {
    async commit(action, done, { startedAt, finishedAt }) {
      const { step: index, key, why } = action;
      const step = grid.steps[index] as Step;
      const fingerprint = planner.fingerprint(index);
      if (!fingerprint) throw new Error(`internal error: ${step.id} executed without a fingerprint`);
      const result: StoredResult = {
        key,
        fingerprint,
        outputs: done.outputs,
        provenance: {
          startedAt,
          finishedAt,
          runId: run,
          host,
          ranflow: version,
          node: process.version,
          compute: done.provenance,
          peakMemory: done.peakMemory,
        },
      };
      const again = action.rebuild || why.kind === "forced" || why.kind === "not-cacheable";
      const before = again ? store.result(key) : undefined;
      const measured = metrics(index, done.outputs);
      if (again) await store.replace(result);
      const kept = again ? result : await store.commit(result);
      const { type } = step.nodeType;
      durations.set(type, [...(durations.get(type) ?? []), finishedAt - startedAt]);
      timer ??= setTimeout(writeBatch, batchDelay);
      // While the lease is held: who executes the key next must not go on from what is being removed.
      if (existsSync(store.checkpointFolder(key))) await follow(store.removeCheckpoint(key));
      const differing = Object.keys(done.outputs).filter(
        (name) => before?.outputs[name] && before.outputs[name].digest !== done.outputs[name]?.digest,
      );
      return {
        result: kept,
        metrics: await measured,
        differing: why.kind === "not-cacheable" ? [] : differing,
      };
    },
    point(index, key) {
      const { id: step, shard } = grid.steps[index] as Step;
      // A shard's record lasts until the step that joins it has its result: nothing is to point at it after that.
      if (shard || store.pointer(grid.pipeline, step)?.key === key) return;
      pointers.push([step, { key, run }]);
      if (pointers.length >= batchSize) writeBatch();
      else timer ??= setTimeout(writeBatch, batchDelay);
    },
    forgetShards(index) {
      const key = planner.key(index);
      for (const shard of (grid.steps[index] as Step).shards ?? []) {
        const own = planner.key(shard);
        if (own !== undefined && own !== key) void follow(store.drop(own));
      }
    },
    metrics,
    async flush() {
      writeBatch();
      while (writes.size > 0) await Promise.all(writes);
      return problem;
    },
  };
}
