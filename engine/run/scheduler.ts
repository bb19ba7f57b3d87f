import type { ExecutionOutcome } from "../executors/types.ts";
import type { StepError } from "../model/events.ts";
import type { GridNode, Step } from "../model/grid.ts";
import type { Key, StepId } from "../model/ids.ts";
import type { StoredResult } from "../model/plan.ts";
import type { RunControls } from "../model/reporter.ts";
import { unreachable } from "../model/result.ts";
import { joinsOf } from "../plan/links.ts";
import type { Action } from "../plan/types.ts";
import { failureOf } from "../worker/failure.ts";
import type { Journal } from "./journal.ts";
import type { Ledger } from "./ledger.ts";
import type { Metrics } from "./measured.ts";
import { listenerFor } from "./listener.ts";
import { createMailbox } from "./mailbox.ts";
import { placeOf } from "./place.ts";
import { createReadyQueue } from "./ready-queue.ts";
import { createEstimates } from "./estimates.ts";
import type { Estimates } from "./estimates.ts";
import { remainingTimes } from "./remaining.ts";
import { demandOf, isAnew, placementOf, requestFor } from "./requests.ts";
import type { External } from "./requests.ts";
import { createSlotPool, shortage } from "./slots.ts";
import type { SlotPool, Taken } from "./slots.ts";
import { succeededLine } from "./step-log.ts";
import type { Happening, Release, Running, StepState, Work } from "./step-state.ts";
import type { RunInput } from "./types.ts";

/** Attempts that follow a transient failure even where the pipeline asks for no retries. */
const transientRetries = 2;
const defaultGrace = 10_000;

/** Hits that share an event: its line in the log stays one that a reader takes in at once. */
const cachedTogether = 1_000;

const done: StepState = { kind: "done" };

function defaultBackoff(failures: number): number {
  return Math.min(1_000 * 2 ** (failures - 1), 60_000);
}

export interface SchedulerInput extends RunInput {
  readonly journal: Journal;
  readonly ledger: Ledger;
}

/**
 *   running --a step failed, no --keep-going--> halting --retryFailed--> running
 *   any --stop--> stopping --stop--> stopping-now
 */
type Mode = "running" | "halting" | "stopping" | "stopping-now";

/**
 * Runs a planned grid: a state machine over happenings (`step-state.ts` has the diagram of a step). The planner says
 * what is to be done, the executor does it, and this decides when.
 */
export class Scheduler {
  readonly #input: SchedulerInput;
  readonly #mailbox = createMailbox<Happening>();
  readonly #states = new Map<number, StepState>();
  readonly #ready = createReadyQueue();
  readonly #pool: SlotPool;
  readonly #externals = new Map<number, External>();
  readonly #metrics = new Map<number, Metrics>();
  /** Steps that are being scanned and cannot run afterwards, with the step that failed. */
  readonly #doomed = new Map<number, StepId>();
  /** Steps that will bring about a happening by themselves. */
  readonly #active = new Set<number>();
  #estimates: Estimates | undefined;
  #remaining: Float64Array | undefined;
  #nodes: ReadonlyMap<string, GridNode> | undefined;
  #joins: ReadonlyMap<number, number> | undefined;
  #mode: Mode = "running";
  readonly #startedAt = Date.now();

  constructor(input: SchedulerInput) {
    this.#input = input;
    this.#pool = createSlotPool(input.options.slots);
  }

  readonly controls: RunControls = {
    stop: () => this.#mailbox.post({ kind: "stop" }),
    cancel: (step) => this.#mailbox.post({ kind: "cancel", step }),
    retryFailed: () => this.#mailbox.post({ kind: "retry-failed" }),
  };

  /** True where the step's result is there, by execution or from the store. */
  finished(step: number): boolean {
    return this.#states.get(step)?.kind === "done";
  }

  /** Goes on until nothing is left that could be done. The planner has been started. */
  async run(): Promise<"succeeded" | "failed" | "interrupted"> {
    for (;;) {
      await this.#takeActions();
      this.#startSteps();
      if (this.#active.size === 0 && !(this.#mode === "running" && this.#ready.size > 0)) break;
      let happening: Happening | undefined = await this.#mailbox.next();
      // What has piled up is handled before new steps start, so that a stop comes before the next start.
      for (; happening !== undefined; happening = this.#mailbox.poll()) await this.#handle(happening);
    }
    this.#releaseLeases();
    return this.#outcome();
  }

  #outcome(): "succeeded" | "failed" | "interrupted" {
    const { steps } = this.#input.grid;
    const done = steps.filter(({ index }) => this.finished(index)).length;
    if (done === steps.length) return "succeeded";
    if (this.#mode === "stopping" || this.#mode === "stopping-now") return "interrupted";
    // The step that failed may wait to be tried on other inputs by now.
    if (this.#mode === "halting") return "failed";
    const unfinished = [...this.#states.values()].some(
      ({ kind }) => kind === "failed" || kind === "cancelled",
    );
    if (!unfinished)
      throw new Error(`internal error: ${steps.length - done} steps were never planned to the end`);
    return "failed";
  }

  async #takeActions(): Promise<void> {
    const { planner, journal, ledger } = this.#input;
    const actions = planner.takeActions();
    this.#emitCached(actions.filter((action) => action.kind === "hit"));
    for (const action of actions) {
      switch (action.kind) {
        case "hit":
          if (action.isCurrent) this.#set(action.step, done);
          else this.#done(action.step, action.key);
          break;
        case "shared": {
          this.#done(action.step, action.key);
          const metrics =
            this.#metrics.get(action.as) ??
            (await ledger.metrics(action.step, planner.outputs(action.step) ?? {}));
          journal.emit({
            type: "step-succeeded",
            step: this.#id(action.step),
            key: action.key,
            duration: 0,
            sharedWith: this.#id(action.as),
            ...(metrics && { metrics }),
          });
          break;
        }
        case "scan":
        case "run":
          await this.#queue({ action, failures: 0 });
          break;
        default:
          unreachable(action);
      }
    }
  }

  #emitCached(hits: readonly Extract<Action, { kind: "hit" }>[]): void {
    for (let start = 0; start < hits.length; start += cachedTogether) {
      const part = hits.slice(start, start + cachedTogether);
      this.#input.journal.emit({
        type: "steps-cached",
        steps: part.map(({ step }) => this.#id(step)),
        keys: part.map(({ key }) => key),
      });
    }
  }

  #done(step: number, key: Key): void {
    this.#set(step, done);
    this.#input.ledger.point(step, key);
  }

  async #queue(work: Work, lease?: Release): Promise<void> {
    const { options, journal, planner } = this.#input;
    const { action } = work;
    const step = this.#step(action.step);
    const short = action.kind === "run" ? shortage(step, options.slots) : undefined;
    if (short) {
      // A hit is not asked whether it could run, until its bytes turn out to be gone.
      this.#release(lease);
      return this.#fail(work, { kind: "node", ...short }, { transient: false, duration: 0 });
    }
    this.#enqueue(work, lease);
    const expected = this.#expectations().expected(action.step);
    journal.emit({
      type: "step-queued",
      step: step.id,
      why: action.kind === "run" ? action.why : planner.planned(action.step).reason,
      ...(expected !== undefined && { expected }),
    });
  }

  /** From now on the step starts when it is its turn. */
  #enqueue(work: Work, lease?: Release): void {
    const { step: index, kind } = work.action;
    const demand = demandOf(this.#step(index), kind, this.#input.options);
    this.#set(index, { kind: "queued", work, lease });
    this.#ready.add({ step: index, demand, remaining: this.#remainingOf(index) });
  }

  /** Made when the first step is queued: a run of nothing but hits asks for none. */
  #expectations(): Estimates {
    const { grid, planner, store } = this.#input;
    const isOpen = (step: number): boolean => planner.outputs(step) === undefined;
    return (this.#estimates ??= createEstimates({ grid, store, isOpen }));
  }

  #remainingOf(step: number): number {
    const { grid, planner } = this.#input;
    const estimates = this.#expectations();
    this.#remaining ??= remainingTimes(grid, (each) =>
      planner.outputs(each) === undefined ? estimates.expected(each) : 0,
    );
    return this.#remaining[step] ?? 0;
  }

  /** What a step took, where nothing was known of its node, decides the order of those that wait. */
  #learn(step: number, milliseconds: number): void {
    if (!this.#expectations().record(step, milliseconds)) return;
    this.#remaining = undefined;
    this.#ready.reorder((each) => this.#remainingOf(each));
  }

  #startSteps(): void {
    if (this.#mode !== "running") return;
    for (const { step, taken } of this.#ready.start(this.#pool)) {
      const state = this.#states.get(step);
      if (state?.kind !== "queued") throw new Error(`internal error: a ${state?.kind} step was in the queue`);
      if (state.work.action.kind === "scan" || state.lease) this.#execute(state.work, taken, state.lease);
      else this.#lease(state.work, state.work.action.key, taken);
    }
  }

  #lease(work: Work, key: Key, taken: Taken): void {
    const { step } = work.action;
    const abort = new AbortController();
    this.#set(step, { kind: "leasing", work, taken, abort });
    const onWait = (holder: string): void => this.#mailbox.post({ kind: "lease-held", step, holder });
    this.#input.store.lease(key, abort.signal, onWait).then(
      (release) => this.#mailbox.post({ kind: "leased", step, release }),
      (error: unknown) => this.#mailbox.post({ kind: "lease-failed", step, error }),
    );
  }

  #execute(work: Work, taken: Taken, lease: Release | undefined): void {
    const { grid, planner, executor, options, journal } = this.#input;
    const { action } = work;
    const step = this.#step(action.step);
    const running: Running = {
      kind: "running",
      work,
      taken,
      lease,
      execution: undefined,
      startedAt: Date.now(),
      timer: undefined,
      ending: undefined,
    };
    this.#set(action.step, running);
    const listener = listenerFor({
      journal,
      step,
      work,
      taken,
      onStart: () => this.#watchTimeout(running),
    });
    const placement = placementOf(step, taken, options);
    const external = this.#externals.get(this.#joinOf(step) ?? action.step);
    const since = this.#startedAt;
    const request = requestFor({ grid, planner, work, external, placement, options, since });
    running.execution = executor.execute(request, placement, listener);
    void running.execution.outcome.then((outcome) =>
      this.#mailbox.post({ kind: "ended", step: action.step, outcome }),
    );
  }

  /** Time counts from when the worker takes the step up: starting a process is not the step's fault. */
  #watchTimeout(running: Running): void {
    running.startedAt = Date.now();
    // A step of a cluster that is lost with its node starts again.
    if (!running.ending) clearTimeout(running.timer);
    const { action } = running.work;
    const { timeout } = this.#step(action.step);
    if (action.kind === "scan" || timeout === undefined || running.ending) return;
    const timedOut: Happening = { kind: "timed-out", step: action.step, running };
    running.timer = setTimeout(() => this.#mailbox.post(timedOut), timeout);
  }

  async #handle(happening: Happening): Promise<void> {
    switch (happening.kind) {
      case "leased":
        return this.#leased(happening.step, happening.release);
      case "lease-held":
        return this.#leaseHeld(happening.step, happening.holder);
      case "lease-failed":
        return this.#leaseFailed(happening.step, happening.error);
      case "ended":
        return this.#ended(happening.step, happening.outcome);
      case "committed":
        return this.#committed(happening);
      case "commit-failed": {
        const work = this.#leave(happening.step);
        return this.#fail(work, happening.error, { transient: false, duration: happening.duration });
      }
      case "retry-due": {
        const state = this.#states.get(happening.step);
        // It may have been cancelled in the very moment in which its time had come.
        if (state?.kind === "backoff" && state.work === happening.work) await this.#queue(happening.work);
        return;
      }
      case "timed-out":
        if (this.#states.get(happening.step) === happening.running) this.#end(happening.running, "timeout");
        return;
      case "stop":
        return this.#stop();
      case "cancel":
        return this.#cancel(happening.step);
      case "retry-failed":
        return this.#retryFailed();
      default:
        unreachable(happening);
    }
  }

  async #leased(step: number, release: Release): Promise<void> {
    const { planner, journal } = this.#input;
    const state = this.#states.get(step);
    if (state?.kind !== "leasing" && state?.kind !== "waiting") return this.#release(release);
    const { action } = state.work;
    if (action.kind !== "run") throw new Error("internal error: a scan was leased");
    const result = await this.#madeElsewhere(action);
    if (result) {
      if (state.kind === "leasing") this.#pool.give(state.taken);
      this.#release(release);
      await planner.finished(step, result);
      this.#done(step, action.key);
      journal.emit({ type: "step-cached", step: this.#id(step), key: action.key });
    } else if (this.#mode !== "running") {
      if (state.kind === "leasing") this.#pool.give(state.taken);
      this.#release(release);
      this.#enqueue(state.work);
    } else if (state.kind === "leasing") {
      this.#execute(state.work, state.taken, release);
    } else {
      await this.#queue(state.work, release);
    }
  }

  /** The result of another process that was faster: as good as ours. */
  async #madeElsewhere(action: Extract<Action, { kind: "run" }>): Promise<StoredResult | undefined> {
    const { store } = this.#input;
    if (isAnew(action)) return undefined;
    const result = store.result(action.key);
    if (!result || !action.rebuild) return result;
    for (const artifact of Object.values(result.outputs)) {
      if (!(await store.objects.complete(artifact).catch(() => false))) return undefined;
    }
    return result;
  }

  #leaseHeld(step: number, holder: string): void {
    const state = this.#states.get(step);
    if (state?.kind !== "leasing") return;
    this.#pool.give(state.taken);
    this.#set(step, { kind: "waiting", work: state.work, abort: state.abort });
    const reason = `${holder} executes it already`;
    this.#input.journal.emit({ type: "step-pending", step: this.#id(step), reason });
  }

  async #leaseFailed(step: number, error: unknown): Promise<void> {
    const state = this.#states.get(step);
    if (state?.kind !== "leasing" && state?.kind !== "waiting") return;
    if (state.kind === "leasing") this.#pool.give(state.taken);
    if (state.abort.signal.aborted) this.#enqueue(state.work);
    else await this.#fail(state.work, this.#storeFailure(error, step), { transient: false, duration: 0 });
  }

  async #ended(index: number, outcome: ExecutionOutcome): Promise<void> {
    const { planner, store, ledger } = this.#input;
    const state = this.#states.get(index);
    if (state?.kind !== "running") throw new Error(`internal error: a ${state?.kind} step has ended`);
    const { work, ending } = state;
    const finishedAt = Date.now();
    const duration = finishedAt - state.startedAt;
    clearTimeout(state.timer);
    this.#pool.give(state.taken);
    if (outcome.kind === "done" && work.action.kind === "run") {
      this.#set(index, { kind: "committing", work, lease: state.lease });
      ledger.commit(work.action, outcome, { startedAt: state.startedAt, finishedAt }).then(
        (committed) => {
          state.execution?.taken?.();
          this.#mailbox.post({ kind: "committed", step: index, committed, duration });
        },
        (error: unknown) => {
          const failure = this.#storeFailure(error, index);
          this.#mailbox.post({ kind: "commit-failed", step: index, error: failure, duration });
        },
      );
      return;
    }
    this.#release(state.lease);
    state.execution?.taken?.();
    switch (outcome.kind) {
      case "scanned": {
        const { external } = outcome;
        this.#externals.set(index, external);
        this.#states.delete(index);
        this.#active.delete(index);
        this.#input.journal.emit({ type: "step-scanned", step: this.#id(index) });
        if (external) {
          try {
            await store.registerExternal(external.dataset, external.root, external.list.digest);
          } catch (error) {
            return this.#fail(work, this.#storeFailure(error, index), { transient: false, duration });
          }
        }
        await planner.scanned(index, external?.list);
        const because = this.#doomed.get(index);
        if (because !== undefined) this.#skip([index], because);
        return;
      }
      case "failed":
        return this.#fail(work, outcome.error, { transient: outcome.transient, duration });
      case "cancelled":
        if (ending === "timeout") {
          return this.#fail(work, timeoutError(this.#step(index), outcome.checkpointed), {
            transient: false,
            duration,
          });
        }
        return this.#cancelled(index, outcome.checkpointed, { skip: ending === "cancelled" });
      case "done":
        throw new Error("internal error: a scan answered with outputs");
      default:
        unreachable(outcome);
    }
  }

  async #committed({ step, committed, duration }: Extract<Happening, { kind: "committed" }>): Promise<void> {
    const { planner, journal, ledger } = this.#input;
    const state = this.#states.get(step);
    const lease = state?.kind === "committing" ? state.lease : undefined;
    const { result, metrics, differing } = committed;
    const id = this.#id(step);
    await planner.finished(step, result);
    this.#done(step, result.key);
    this.#learn(step, duration);
    ledger.forgetShards(step);
    if (metrics) this.#metrics.set(step, metrics);
    if (differing.length > 0) {
      const message = `not deterministic: ${differing.join(", ")} came out with other bytes than last time, for the same key`;
      journal.line(id, `warning ${message}`);
      journal.emit({ type: "step-log", step: id, level: "warning", message });
    }
    journal.end(id, succeededLine(duration));
    journal.emit({
      type: "step-succeeded",
      step: id,
      key: result.key,
      duration,
      ...(metrics && { metrics }),
    });
    this.#release(lease);
  }

  async #fail(
    work: Work,
    error: StepError,
    how: { readonly transient: boolean; readonly duration: number },
  ): Promise<void> {
    const { journal, options, planner } = this.#input;
    const { step: index } = work.action;
    const step = this.#step(index);
    const failures = work.failures + 1;
    const allowed = how.transient ? Math.max(step.retries, transientRetries) : step.retries;
    const willRetry = failures <= allowed && !this.#stopping();
    journal.line(step.id, `error ${error.message}${error.hint === undefined ? "" : ` (${error.hint})`}`);
    if (error.detail !== undefined) journal.line(step.id, error.detail);
    const node = this.#node(step.node);
    journal.emit({
      type: "step-failed",
      step: step.id,
      attempt: failures,
      duration: how.duration,
      error: { ...error, ...(node && { at: placeOf(node.location) }) },
      willRetry,
    });
    if (willRetry) {
      const due: Happening = { kind: "retry-due", step: index, work: { action: work.action, failures } };
      const timer = setTimeout(() => this.#mailbox.post(due), (options.backoff ?? defaultBackoff)(failures));
      this.#set(index, { kind: "backoff", work: due.work, timer });
      return;
    }
    this.#set(index, { kind: "failed", work });
    this.#skip(await planner.failed(index), step.id);
    if (!options.keepGoing && this.#mode === "running") this.#halt();
  }

  /** Nothing new starts: nor is anything waited for that somebody else executes. */
  #halt(): void {
    this.#mode = "halting";
    for (const index of this.#active) {
      const state = this.#states.get(index);
      if (state?.kind === "leasing" || state?.kind === "waiting") state.abort.abort();
    }
  }

  #skip(steps: readonly number[], because: StepId): void {
    for (const step of steps) {
      const state = this.#states.get(step);
      const kind = state?.kind;
      // A hit that an upstream's new bytes have undone is as undecided as a step that was never given out.
      const undone = kind === "done" && this.#input.planner.outputs(step) === undefined;
      if (state?.kind === "running" && state.work.action.kind === "scan") this.#doomed.set(step, because);
      if (kind !== undefined && kind !== "queued" && !undone) continue;
      this.#ready.remove(step);
      this.#set(step, { kind: "skipped", because, work: state?.kind === "queued" ? state.work : undefined });
      this.#input.journal.emit({ type: "step-skipped", step: this.#id(step), because });
    }
  }

  async #cancelled(
    index: number,
    checkpointed: boolean,
    { skip }: { readonly skip: boolean },
  ): Promise<void> {
    const id = this.#id(index);
    this.#set(index, { kind: "cancelled" });
    this.#input.journal.line(id, checkpointed ? "cancelled; its checkpoint is kept" : "cancelled");
    this.#input.journal.emit({ type: "step-cancelled", step: id, checkpointed });
    if (skip) this.#skip(await this.#input.planner.failed(index), id);
  }

  async #stop(): Promise<void> {
    const { journal } = this.#input;
    if (this.#mode === "stopping-now") return;
    const now = this.#mode === "stopping";
    this.#mode = now ? "stopping-now" : "stopping";
    journal.emit({ type: "run-stopping", how: now ? "now" : "checkpoint" });
    for (const index of this.#active) {
      const state = this.#states.get(index);
      if (state?.kind === "running") {
        state.ending ??= "stopping";
        state.execution?.cancel(now ? "now" : "checkpoint");
      } else if (state?.kind === "leasing" || state?.kind === "waiting") {
        state.abort.abort();
      } else if (state?.kind === "backoff") {
        clearTimeout(state.timer);
        await this.#cancelled(index, false, { skip: false });
      }
    }
  }

  async #cancel(id: StepId): Promise<void> {
    const index = this.#input.grid.steps.findIndex((step) => step.id === id);
    const state = this.#states.get(index);
    switch (state?.kind) {
      case "running":
        this.#end(state, "cancelled");
        return;
      case "queued":
        this.#ready.remove(index);
        this.#release(state.lease);
        return this.#cancelled(index, false, { skip: true });
      case "leasing":
        this.#pool.give(state.taken);
        state.abort.abort();
        return this.#cancelled(index, false, { skip: true });
      case "waiting":
        state.abort.abort();
        return this.#cancelled(index, false, { skip: true });
      case "backoff":
        clearTimeout(state.timer);
        return this.#cancelled(index, false, { skip: true });
      default:
        // It ended while the user was deciding, or has not come up yet: nothing to cancel.
        return;
    }
  }

  /** Lets a running step save and end; kills it where it takes longer than the time it has for that. */
  #end(running: Running, why: "timeout" | "cancelled"): void {
    if (running.ending) return;
    running.ending = why;
    running.execution?.cancel("checkpoint");
    clearTimeout(running.timer);
    const grace = this.#input.options.grace ?? defaultGrace;
    running.timer = setTimeout(() => running.execution?.cancel("now"), grace);
  }

  async #retryFailed(): Promise<void> {
    if (this.#stopping()) return;
    this.#doomed.clear();
    for (const [step, state] of this.#states) {
      if (state.kind === "skipped") {
        this.#states.delete(step);
        if (state.work) await this.#queue(state.work);
      }
      if (state.kind === "failed") await this.#retry(step, state.work.action);
    }
    // What was skipped because of a cancelled step still is.
    for (const [step, { kind }] of this.#states) {
      if (kind === "cancelled") this.#skip(await this.#input.planner.failed(step), this.#id(step));
    }
    this.#mode = "running";
  }

  /** Tries a failed step again, unless its inputs are other ones by now: then the planner gives it out anew. */
  async #retry(step: number, action: Work["action"]): Promise<void> {
    if (action.kind === "scan" || this.#input.planner.retry(step)) await this.#queue({ action, failures: 0 });
    else this.#states.delete(step);
  }

  #stopping(): boolean {
    return this.#mode === "stopping" || this.#mode === "stopping-now";
  }

  #set(step: number, state: StepState): void {
    this.#states.set(step, state);
    switch (state.kind) {
      case "leasing":
      case "waiting":
      case "running":
      case "committing":
      case "backoff":
        this.#active.add(step);
        return;
      case "queued":
      case "failed":
      case "cancelled":
      case "skipped":
      case "done":
        this.#active.delete(step);
        return;
      default:
        unreachable(state);
    }
  }

  /** The work of a step whose commit failed; gives its lease back. */
  #leave(step: number): Work {
    const state = this.#states.get(step);
    if (state?.kind !== "committing") throw new Error(`internal error: a ${state?.kind} step was committed`);
    this.#release(state.lease);
    return state.work;
  }

  #releaseLeases(): void {
    for (const state of this.#states.values()) if (state.kind === "queued") this.#release(state.lease);
  }

  #release(lease: Release | undefined): void {
    lease?.();
  }

  #storeFailure(error: unknown, step: number): StepError {
    return failureOf(error, this.#step(step).nodeType.type).error;
  }

  #step(index: number): Step {
    const step = this.#input.grid.steps[index];
    if (!step) throw new Error(`internal error: there is no step ${index}`);
    return step;
  }

  #id(index: number): StepId {
    return this.#step(index).id;
  }

  /** The step that joins the items of a shard. */
  #joinOf({ index, shard }: Step): number | undefined {
    if (!shard) return undefined;
    this.#joins ??= joinsOf(this.#input.grid.steps);
    return this.#joins.get(index);
  }

  #node(name: string): GridNode | undefined {
    this.#nodes ??= new Map(this.#input.grid.nodes.map((node) => [node.name, node]));
    return this.#nodes.get(name);
  }
}

function timeoutError(step: Step, checkpointed: boolean): StepError {
  return {
    kind: "timeout",
    message: `took longer than its timeout of ${(step.timeout ?? 0) / 1000} s`,
    hint: checkpointed
      ? "its checkpoint is kept: run again and it goes on from there, or raise `timeout`"
      : "raise the node's `timeout`, or give it less to do",
  };
}
