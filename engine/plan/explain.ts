import { timeOfRun } from "../../cache/runs.ts";
import type { Pointer, Store } from "../../cache/types.ts";
import type { Fingerprint } from "../model/fingerprint.ts";
import type { Step } from "../model/grid.ts";
import type { Key, RunId, StepId } from "../model/ids.ts";
import type { Json } from "../model/json.ts";
import type { FieldChange, Reason, StepStatus, StoredResult } from "../model/plan.ts";
import { unreachable } from "../model/result.ts";
import { fieldChanges } from "./changes.ts";
import { readExternalList } from "./external-list.ts";
import { createLineage } from "./lineage.ts";
import { fingerprintParams, ownParts, upstreamOf as readBy } from "./fingerprint.ts";
import type { Planner } from "./types.ts";

export { formatChange, formatExplanation, formatReason } from "./format-explanation.ts";

/** Why a step has the plan it has, down to the upstream fields that caused it. Plain JSON. */
export interface Explanation {
  readonly step: StepId;
  readonly type: string;
  readonly status: StepStatus;
  readonly reason: Reason;
  /** Absent until the step's inputs are known. */
  readonly key?: Key;
  /** What of the step itself changed since its last result, where its inputs are not known yet. */
  readonly ownChanges: readonly FieldChange[];
  /** For a hit: what was different in the result that it is compared with. */
  readonly lastChanges: readonly FieldChange[];
  readonly comparison?: HitComparison;
  /** The result that the store has for the step: of its key for a hit, else its last one. */
  readonly result?: KnownResult;
  /** The steps that decide about this one: what it waits for in the end, or whose work it shares. */
  readonly upstream: readonly Explanation[];
}

/**
 * What a hit is compared with: the result that the step had before this one (`gone`: gc removed it), or, where the
 * step is now what it was in an earlier run, its last result. `none`: it never had another.
 */
export interface HitComparison {
  readonly with: "before" | "gone" | "last" | "none";
  /** The run that made the result executed the step with a fingerprint that had a result already. */
  readonly again: boolean;
}

/** When and where a result was made. Times in ms since the epoch. */
export interface KnownResult {
  readonly key: Key;
  readonly run: RunId;
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly host: string;
  readonly ranflow: string;
  readonly compute?: Readonly<Record<string, Json>>;
}

/** More causes than these make an explanation no clearer. */
const causesNamed = 12;

/**
 * Explains a step of a planner that was started. Made from the record that is hashed: a hit has no changes, and a
 * step that runs names every field that made its key another.
 */
export function explainStep(
  planner: Planner,
  store: Store,
  pipeline: string,
  stepIndex: number,
): Explanation {
  const { steps } = planner.grid;
  const indices = new Map(steps.map(({ id, index }) => [id, index]));
  const seen = new Set<number>([stepIndex]);
  const pointerOf = (index: number): Pointer | undefined =>
    store.pointer(pipeline, (steps[index] as Step).id);
  const resultOf = (index: number): StoredResult | undefined => {
    const pointer = pointerOf(index);
    return pointer && store.result(pointer.key);
  };
  // The last change of what is a hit now: between a step's result and the one before it.
  const lastLineage = createLineage({
    grid: planner.grid,
    store,
    fingerprint: (index) => resultOf(index)?.fingerprint,
    before: (index) => {
      const pointer = pointerOf(index);
      return pointer?.previous && { key: pointer.previous, run: pointer.run };
    },
    readList: (list) => readExternalList(store, list),
    exact: true,
  });

  // From a step's last result to what it is now.
  const nowLineage = createLineage({
    grid: planner.grid,
    store,
    fingerprint: planner.fingerprint,
    before: pointerOf,
    readList: (list) => readExternalList(store, list),
  });
  const lineages = { before: lastLineage, last: nowLineage, gone: undefined, none: undefined };
  const comparisonOf = (index: number): HitComparison | undefined => {
    const { status } = planner.planned(index);
    const pointer = pointerOf(index);
    const key = planner.key(index);
    const result = key && store.result(key);
    if (status !== "hit" || !result) return undefined;
    if (!pointer) return { with: "none", again: false };
    if (pointer.key !== key) return { with: "last", again: false };
    // A step's pointer moves only where its key becomes another one.
    const again = (timeOfRun(result.provenance.runId) ?? 0) > (timeOfRun(pointer.run) ?? Infinity);
    if (pointer.previous === undefined) return { with: "none", again };
    return { with: store.result(pointer.previous) ? "before" : "gone", again };
  };

  const explain = (index: number): Explanation => {
    const step = steps[index] as Step;
    const { status, reason } = planner.planned(index);
    const key = planner.key(index);
    const comparison = comparisonOf(index);
    const last = resultOf(index);
    const shown = (status === "hit" && key && store.result(key)) || last;
    return {
      step: step.id,
      type: step.nodeType.type,
      status,
      reason,
      ...(key && { key }),
      ownChanges: key === undefined && last ? ownChanges(step, last.fingerprint) : [],
      lastChanges: (comparison && lineages[comparison.with]?.changes(index)) ?? [],
      ...(comparison && { comparison }),
      ...(shown && { result: knownResult(shown) }),
      upstream: upstreamOf(index, reason).map(explain),
    };
  };

  const upstreamOf = (index: number, reason: Reason): readonly number[] => {
    switch (reason.kind) {
      case "upstream-runs":
        return causesOf(index);
      case "same-work":
        return unseen(reason.as);
      case "outputs-missing":
        return unseen(reason.neededBy);
      case "cached":
      case "first-time":
      case "changed":
      case "forced":
      case "not-cacheable":
      case "not-scanned":
        return [];
      default:
        return unreachable(reason);
    }
  };

  const unseen = (id: StepId): readonly number[] => {
    const index = indices.get(id);
    if (index === undefined || seen.has(index)) return [];
    seen.add(index);
    return [index];
  };

  /** The steps above a waiting one that are more than waiting themselves: they run, are unscanned, or were edited. */
  const causesOf = (index: number): readonly number[] => {
    const causes: number[] = [];
    const queue = [index];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      for (const above of readBy(steps[next] as Step)) {
        if (seen.has(above) || planner.outputs(above) !== undefined) continue;
        seen.add(above);
        queue.push(above);
        if (isCause(above)) causes.push(above);
      }
    }
    return causes.toSorted((a, b) => a - b).slice(0, causesNamed);
  };

  const isCause = (index: number): boolean => {
    const { status, reason } = planner.planned(index);
    if (status === "run" || status === "rebuild" || reason.kind === "not-scanned") return true;
    const step = steps[index] as Step;
    const last = resultOf(index);
    return last !== undefined && ownChanges(step, last.fingerprint).length > 0;
  };

  return explain(stepIndex);
}

function knownResult({ key, provenance }: NonNullable<ReturnType<Store["result"]>>): KnownResult {
  const { runId, startedAt, finishedAt, host, ranflow, compute } = provenance;
  return { key, run: runId as RunId, startedAt, finishedAt, host, ranflow, ...(compute && { compute }) };
}

/** Changes in what a step brings along itself, its inputs taken as they were. */
function ownChanges(step: Step, before: Fingerprint): readonly FieldChange[] {
  const { seed: _, environment: __, source: ___, ...rest } = before;
  return fieldChanges(before, {
    ...rest,
    type: step.nodeType.type,
    version: step.nodeType.version,
    params: fingerprintParams(step.nodeType, step.params),
    ...ownParts(step),
  });
}
