import type { Store } from "../../cache/types.ts";
import type { ArtifactRef } from "../model/artifact.ts";
import type { Fingerprint } from "../model/fingerprint.ts";
import type { Grid, Step } from "../model/grid.ts";
import type { Digest, Key } from "../model/ids.ts";
import type { StoredResult } from "../model/plan.ts";
import { unreachable } from "../model/result.ts";
import { fingerprintOf, keyOf, needsScan } from "./fingerprint.ts";
import { readExternalList } from "./external-list.ts";
import { createLineage } from "./lineage.ts";
import { joinsOf, linksOf } from "./links.ts";
import { lostResults } from "./lost.ts";
import { createRecipes } from "./recipes.ts";
import { createStatus } from "./status.ts";
import { initialState, sameOutputs, undecided } from "./step-state.ts";
import type { Decision, Outputs, StepState } from "./step-state.ts";
import type { Action, Planner } from "./types.ts";

/**
 * Plans a grid against a store. `force` names steps that run in spite of a hit.
 *
 * What becomes of a shard follows from what is decided on the step that joins it: where that one has its result,
 * nothing is to be done; where it must run, it waits for its shards, as it does for a rebuild.
 *
 * The planner reads the store and writes nothing. Steps are decided in topological order as their inputs land;
 * each call that changes something resolves when everything that follows from it is decided.
 */
export function createPlanner(options: {
  readonly grid: Grid;
  readonly store: Store;
  readonly force?: (step: number) => boolean;
}): Planner {
  const { grid, store, force = () => false } = options;
  const { steps } = grid;
  const links = linksOf(steps);
  const joins = joinsOf(steps);
  const states = steps.map((step, index) =>
    // A shard reads the external files that the step which joins it has scanned.
    initialState(links.upstream(index).length, !joins.has(index) && needsScan(step)),
  );
  /** The step that executes a key in this run. */
  const owners = new Map<Key, number>();
  /** Steps that were decided to share an owner's result, and steps that wait for a rebuild; some may have left since. */
  const sharers = new Map<number, number[]>();
  const waiters = new Map<number, number[]>();
  /** Artifacts whose bytes were seen in the store. */
  const present = new Set<Digest>();
  let actions: { readonly epoch: number; readonly action: Action }[] = [];
  let toDecide: number[] = [];
  let toCheck: number[] = [];
  /** Results with other bytes than before, which wait until no step that was given out reads what they change. */
  let postponed: (readonly [index: number, result: StoredResult])[] = [];
  let settling: Promise<void> = Promise.resolve();
  /** Results that steps may need again, as far as somebody asked. */
  let lost: ReadonlySet<Key> = new Set();

  const stepAt = (index: number): Step => steps[index] as Step;
  const stateAt = (index: number): StepState => states[index] as StepState;
  const outputsOf = (index: number): Outputs | undefined => stateAt(index).outputs;
  const fingerprint = (index: number): Fingerprint | undefined =>
    isReady(index)
      ? fingerprintOf(stepAt(index), outputsOf, stateAt(joins.get(index) ?? index).external)
      : undefined;
  const lineage = createLineage({
    grid,
    store,
    fingerprint,
    before: (index) => stateAt(index).before ?? store.pointer(grid.pipeline, stepAt(index).id),
    readList: (list) => readExternalList(store, list),
  });

  const status = createStatus({
    steps,
    links,
    joins,
    states,
    recipes: createRecipes(steps),
    lineage,
    lost: () => lost.size,
  });

  function isReady(index: number): boolean {
    return stateAt(index).pending === 0 && stateAt(joins.get(index) ?? index).scan !== "wanted";
  }

  function shardsOf(index: number): readonly number[] {
    return stepAt(index).shards ?? [];
  }

  function act(index: number, action: Action): void {
    actions.push({ epoch: stateAt(index).epoch, action });
  }

  function become(index: number, decision: Decision): void {
    const state = stateAt(index);
    state.decision = decision;
    state.epoch++;
    state.waits = undefined;
    lineage.forget(index);
  }

  /** Decides a step whose inputs are known, and its shards with it. */
  function decide(index: number): void {
    if (joins.has(index)) return;
    const step = stepAt(index);
    const state = stateAt(index);
    if (state.decision.kind !== "undecided" || !isReady(index)) return;
    const key = keyOf(fingerprint(index) as Fingerprint);
    const before = state.before ?? store.pointer(grid.pipeline, step.id);
    const isCurrent = before?.key === key;
    // A pointer to the very result can be read again whenever somebody asks.
    if (!isCurrent) state.before = before;
    const owner = step.cache ? owners.get(key) : undefined;
    // Where the work is only rebuilt, its outputs are known already: that is a hit like any other.
    if (owner !== undefined && stateAt(owner).decision.kind !== "rebuild") {
      for (const sharer of [...shardsOf(index), index]) {
        become(sharer, { kind: "shared", key, as: owner });
        addTo(sharers, owner, sharer);
        if (stateAt(owner).executed) takeOver(sharer, owner, key);
        else forgetOutputs(sharer);
      }
      return;
    }
    const stored = store.result(key);
    if (stored && step.cache && !force(index)) {
      const { finishedAt } = stored.provenance;
      for (const shard of shardsOf(index)) hitShard(shard, key, finishedAt);
      become(index, { kind: "hit", key, finishedAt });
      act(index, { kind: "hit", step: index, key, isCurrent });
      land(index, stored.outputs);
      // Nobody downstream will ask for the bytes of a last step; the user will.
      if (links.readers(index).length === 0) toCheck.push(index);
      return;
    }
    const why = !step.cache ? "not-cacheable" : stored || force(index) ? "forced" : "missing";
    become(index, { kind: "run", key, why });
    state.prior = stored?.outputs;
    if (step.cache) owners.set(key, index);
    forgetOutputs(index);
    decideShards(index, why);
    toCheck.push(index);
  }

  /** Nothing is to be done about a shard: its own share is made, or the whole that it is a share of. */
  function hitShard(shard: number, key: Key, finishedAt: number): void {
    become(shard, { kind: "hit", key, finishedAt });
    act(shard, { kind: "hit", step: shard, key, isCurrent: true });
    land(shard, {});
  }

  /** Decides the shards of a step that must run: those that were made before an interruption are not made again. */
  function decideShards(index: number, why: "forced" | "not-cacheable" | "missing"): void {
    for (const shard of shardsOf(index)) {
      const key = keyOf(fingerprint(shard) as Fingerprint);
      const stored = why === "missing" ? store.result(key) : undefined;
      if (stored) {
        hitShard(shard, key, stored.provenance.finishedAt);
        continue;
      }
      become(shard, { kind: "run", key, why });
      forgetOutputs(shard);
      if (stepAt(shard).cache) owners.set(key, shard);
      toCheck.push(shard);
    }
  }

  /** Gives a step the result of the step that executed the same work. */
  function takeOver(index: number, owner: number, key: Key): void {
    act(index, { kind: "shared", step: index, as: owner, key });
    land(index, joins.has(index) ? {} : (outputsOf(owner) as Outputs));
  }

  /** A step's outputs are known: for the first time, or other ones than before. */
  function land(index: number, outputs: Outputs): void {
    const state = stateAt(index);
    const before = state.outputs;
    state.outputs = outputs;
    if (before === undefined) {
      for (const reader of links.readers(index)) {
        stateAt(reader).pending--;
        if (isReady(reader)) toDecide.push(reader);
      }
    } else if (!sameOutputs(before, outputs)) {
      for (const reader of links.readers(index)) reconsider(reader);
    }
  }

  /** A step's outputs are not known any more: what was decided on them is undone. */
  function forgetOutputs(index: number): void {
    const state = stateAt(index);
    if (state.outputs === undefined) return;
    state.outputs = undefined;
    for (const reader of links.readers(index)) {
      stateAt(reader).pending++;
      reconsider(reader);
      forgetOutputs(reader);
    }
  }

  /** Undoes a decision that was made on bytes that changed, and queues the step to be decided again. */
  function reconsider(index: number): void {
    const state = stateAt(index);
    const { decision } = state;
    if (decision.kind === "undecided") return;
    state.failed = false;
    if (state.executing)
      throw new Error(`internal error: ${stepAt(index).id} executes on inputs that changed`);
    become(index, undecided);
    state.executed = false;
    if (decision.kind !== "hit" && owners.get(decision.key) === index) {
      owners.delete(decision.key);
      for (const other of sharersOf(index)) reconsider(other);
    }
    for (const shard of shardsOf(index)) reconsider(shard);
    toDecide.push(index);
  }

  function sharersOf(owner: number): readonly number[] {
    return [...new Set(sharers.get(owner))].filter((index) => {
      const { decision } = stateAt(index);
      return decision.kind === "shared" && decision.as === owner;
    });
  }

  /** Decides what can be decided and finds the bytes that must be rebuilt, one call at a time. */
  function settle(): Promise<void> {
    settling = settling.then(async () => {
      while (toDecide.length > 0 || toCheck.length > 0) {
        const decidable = toDecide.toSorted((a, b) => a - b);
        toDecide = [];
        for (const index of decidable) decide(index);
        if (toDecide.length > 0) continue;
        const checkable = toCheck;
        toCheck = [];
        for (const index of checkable) await check(index);
      }
    });
    return settling;
  }

  /** Sees that the bytes a step needs are there before it is given out, and has them rebuilt where they are not. */
  async function check(index: number): Promise<void> {
    const { decision, epoch, executing, executed, failed } = stateAt(index);
    if (decision.kind === "hit") return checkLast(index);
    if ((decision.kind !== "run" && decision.kind !== "rebuild") || executing || executed || failed) return;
    const waits = new Set<number>(shardsOf(index).filter(isOpen));
    for (const { from, artifact } of readArtifacts(index)) {
      if (stateAt(from).executed || (await isPresent(artifact))) continue;
      const builder = rebuild(from, index);
      if (builder !== undefined) waits.add(builder);
    }
    const state = stateAt(index);
    if (state.epoch !== epoch) return;
    state.waits = waits;
    for (const builder of waits) addTo(waiters, builder, index);
    if (waits.size > 0) return;
    const why = status.reason(index);
    act(index, { kind: "run", step: index, key: decision.key, rebuild: decision.kind === "rebuild", why });
  }

  /** A shard that must run and has not yet. */
  function isOpen(shard: number): boolean {
    const { decision, executed } = stateAt(shard);
    return decision.kind === "run" && !executed;
  }

  async function checkLast(index: number): Promise<void> {
    for (const artifact of Object.values(outputsOf(index) ?? {})) {
      if (!(await isPresent(artifact))) return void rebuild(index, index);
    }
  }

  /** Has the bytes of a known step made again; the step that will make them, or undefined if they just were made. */
  function rebuild(index: number, neededBy: number): number | undefined {
    const { decision, executed } = stateAt(index);
    if (executed) return undefined;
    switch (decision.kind) {
      case "hit": {
        const owner = owners.get(decision.key);
        if (owner !== undefined) return stateAt(owner).executed ? undefined : owner;
        owners.set(decision.key, index);
        become(index, { kind: "rebuild", key: decision.key, neededBy });
        stateAt(index).prior = outputsOf(index);
        decideShards(index, "missing");
        toCheck.push(index);
        return index;
      }
      case "shared":
        return stateAt(decision.as).executed ? undefined : decision.as;
      case "run":
      case "rebuild":
        return index;
      case "undecided":
        return undefined;
      default:
        return unreachable(decision);
    }
  }

  function readArtifacts(index: number): { readonly from: number; readonly artifact: ArtifactRef }[] {
    const step = stepAt(index);
    const found: { from: number; artifact: ArtifactRef }[] = [];
    const add = (from: number, port: string): void => {
      const artifact = outputsOf(from)?.[port];
      if (artifact) found.push({ from, artifact });
    };
    for (const name of step.reads) {
      const input = step.inputs[name];
      if (input?.kind === "one") add(input.step, input.port);
      else for (const item of input?.items ?? []) add(item.step, item.port);
    }
    return found;
  }

  /** A manifest that cannot be read is as good as missing: the step that made it makes it again. */
  function isComplete(artifact: ArtifactRef): Promise<boolean> {
    return store.objects.complete(artifact).catch(() => false);
  }

  async function isPresent(artifact: ArtifactRef): Promise<boolean> {
    if (present.has(artifact.digest)) return true;
    const complete = await isComplete(artifact);
    if (complete) present.add(artifact.digest);
    return complete;
  }

  return {
    grid,
    start: async () => {
      for (const [index, { scan }] of states.entries()) {
        if (scan === "wanted") act(index, { kind: "scan", step: index });
        // In topological order a hit lands before its readers are looked at: one pass decides all that can be.
        else decide(index);
      }
      await settle();
    },
    foresee: async () => {
      lost = await lostResults({ states, links, artifacts: readArtifacts, isPresent: isComplete });
    },
    snapshot: status.snapshot,
    outline: status.outline,
    planned: status.planned,
    key: (index) => {
      const { decision } = stateAt(index);
      return decision.kind === "undecided" ? undefined : decision.key;
    },
    fingerprint,
    outputs: outputsOf,
    takeActions: () => {
      const current: Action[] = [];
      for (const { epoch, action } of actions) {
        const state = stateAt(action.step);
        if (state.epoch !== epoch) continue;
        if (action.kind === "run") state.executing = true;
        current.push(action);
      }
      actions = [];
      return current.toSorted((a, b) => a.step - b.step);
    },
    scanned: async (index, external) => {
      const state = stateAt(index);
      const first = state.scan === "wanted";
      const changed = state.external?.digest !== external?.digest;
      state.scan = "done";
      state.external = external;
      if (first) toDecide.push(index);
      else if (changed && ![index, ...shardsOf(index)].some((one) => stateAt(one).executing))
        reconsider(index);
      await settle();
    },
    finished: async (index, result) => {
      finish(index, result);
      await settle();
    },
    failed: async (index) => {
      const state = stateAt(index);
      state.failed ||= state.executing;
      state.executing = false;
      const { epoch } = state;
      // What was held back for this step is not any more, and may give it other inputs than it failed on.
      acceptPostponed();
      await settle();
      return state.epoch === epoch ? stuckAfter(index) : [];
    },
    retry: (index) => {
      const state = stateAt(index);
      if (!state.failed) return false;
      state.failed = false;
      state.executing = true;
      return true;
    },
  };

  function finish(index: number, result: StoredResult): void {
    const state = stateAt(index);
    state.executing = false;
    state.failed = false;
    postponed = [[index, result], ...postponed];
    acceptPostponed();
  }

  function acceptPostponed(): void {
    const results = postponed;
    postponed = [];
    for (const [step, finished] of results) {
      if (wouldChangeGivenOut(step, finished)) postponed.push([step, finished]);
      else accept(step, finished);
    }
  }

  function accept(index: number, { key, outputs }: StoredResult): void {
    const state = stateAt(index);
    const other = state.prior !== undefined && !sameOutputs(state.prior, outputs);
    state.executed = true;
    land(index, outputs);
    for (const sharer of sharersOf(index)) takeOver(sharer, index, key);
    if (other) landOnHits(key, outputs);
    releaseWaiters(index);
  }

  /**
   * Whether a result has other bytes than its key had before, and a step that was given out was decided on those:
   * what executes must find its inputs as they were when it was given out.
   */
  function wouldChangeGivenOut(index: number, { key, outputs }: StoredResult): boolean {
    const { prior } = stateAt(index);
    if (prior === undefined || sameOutputs(prior, outputs)) return false;
    const queue = [index, ...hitsOf(key)];
    const seen = new Set(queue);
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      for (const reader of links.readers(next)) {
        if (stateAt(reader).executing) return true;
        if (!seen.has(reader)) queue.push(reader);
        seen.add(reader);
      }
    }
    return false;
  }

  function hitsOf(key: Key): readonly number[] {
    return states.flatMap(({ decision }, index) =>
      decision.kind === "hit" && decision.key === key ? [index] : [],
    );
  }

  /** Other bytes for the same key: a nondeterministic step, whose change goes on after every hit of that key. */
  function landOnHits(key: Key, outputs: Outputs): void {
    for (const index of hitsOf(key)) land(index, outputs);
  }

  function releaseWaiters(index: number): void {
    for (const waiter of waitersOf(index)) {
      const { waits } = stateAt(waiter);
      if (waits?.delete(index) && waits.size === 0) toCheck.push(waiter);
    }
  }

  /** Steps that cannot run because this one failed: those that share it or wait for it, and all that follows them. */
  function stuckAfter(index: number): readonly number[] {
    const stuck = new Set<number>();
    const queue = [index];
    for (let failed = queue.pop(); failed !== undefined; failed = queue.pop()) {
      const dependants = [
        ...(outputsOf(failed) === undefined ? links.readers(failed) : []),
        ...shardsOf(failed).filter((shard) => stateAt(shard).decision.kind === "undecided"),
        ...sharersOf(failed),
        ...waitersOf(failed),
      ];
      for (const dependant of dependants) {
        const { executing, executed, failed: isFailed } = stateAt(dependant);
        if (executing || executed || isFailed || stuck.has(dependant) || dependant === index) continue;
        stuck.add(dependant);
        queue.push(dependant);
      }
    }
    return [...stuck].toSorted((a, b) => a - b);
  }

  function waitersOf(index: number): readonly number[] {
    return [...new Set(waiters.get(index))].filter((waiter) => stateAt(waiter).waits?.has(index));
  }
}

function addTo(lists: Map<number, number[]>, index: number, item: number): void {
  const list = lists.get(index);
  if (!list) lists.set(index, [item]);
  else list.push(item);
}
