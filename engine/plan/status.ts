import type { Step } from "../model/grid.ts";
import type { Plan, PlanOutline, PlannedStep, Reason, StepStatus } from "../model/plan.ts";
import { unreachable } from "../model/result.ts";
import type { Lineage } from "./lineage.ts";
import type { Links } from "./links.ts";
import type { Recipes } from "./recipes.ts";
import type { StepState } from "./step-state.ts";

const upstreamNamed = 8;

/** What the planner's decisions mean to the user. */
export interface Status {
  snapshot(): Plan;
  outline(): PlanOutline;
  planned(step: number): PlannedStep;
  reason(step: number): Reason;
}

export function createStatus(parts: {
  readonly steps: readonly Step[];
  readonly links: Links;
  /** For each shard, the step that joins it. */
  readonly joins: ReadonlyMap<number, number>;
  readonly states: readonly StepState[];
  readonly recipes: Recipes;
  readonly lineage: Lineage;
  /** Number of results that may have to be made again for steps that are not decided yet. */
  readonly lost: () => number;
}): Status {
  const { steps, links, joins, states, recipes, lineage, lost } = parts;
  const stepAt = (index: number): Step => steps[index] as Step;
  const stateAt = (index: number): StepState => states[index] as StepState;

  /** The first step, by order, that will do a not yet decided step's work. */
  function workerOf(index: number): number {
    if (!stepAt(index).cache) return index;
    const first = recipes.peers(index).find((peer) => {
      const { decision, executed } = stateAt(peer);
      return peer === index || ((decision.kind === "undecided" || decision.kind === "run") && !executed);
    });
    return first ?? index;
  }

  function status(index: number): StepStatus {
    const { decision } = stateAt(index);
    if (decision.kind !== "undecided") return decision.kind;
    const join = joins.get(index);
    if (join !== undefined) return status(join);
    return workerOf(index) === index ? "unknown" : "shared";
  }

  function reason(index: number): Reason {
    const { decision, scan } = stateAt(index);
    const join = joins.get(index);
    switch (decision.kind) {
      case "hit":
        return { kind: "cached", key: decision.key, finishedAt: decision.finishedAt };
      case "shared":
        return { kind: "same-work", as: stepAt(decision.as).id };
      case "rebuild":
        return { kind: "outputs-missing", neededBy: stepAt(decision.neededBy).id };
      case "run":
        if (decision.why === "forced") return { kind: "forced" };
        if (decision.why === "not-cacheable") return { kind: "not-cacheable" };
        return join === undefined ? reasonToRun(index) : reason(join);
      case "undecided": {
        if (join !== undefined) return reason(join);
        const worker = workerOf(index);
        if (worker !== index) return { kind: "same-work", as: stepAt(worker).id };
        if (scan === "wanted") return { kind: "not-scanned" };
        const waitsFor = links.upstream(index).filter((read) => stateAt(read).outputs === undefined);
        return {
          kind: "upstream-runs",
          steps: Array.from(waitsFor.subarray(0, upstreamNamed), (read) => stepAt(read).id),
        };
      }
      default:
        return unreachable(decision);
    }
  }

  function reasonToRun(index: number): Reason {
    const changes = lineage.changes(index);
    if (changes === undefined) return { kind: "first-time" };
    // The same key as last time, and its result is gone from the index.
    if (changes.length === 0) return { kind: "outputs-missing", neededBy: stepAt(index).id };
    return { kind: "changed", changes };
  }

  const planned = (index: number): PlannedStep => ({ status: status(index), reason: reason(index) });

  function outline(): PlanOutline {
    const counts: Record<StepStatus, number> = { hit: 0, run: 0, rebuild: 0, shared: 0, unknown: 0 };
    const statuses = steps.map((_, index) => status(index));
    for (const one of statuses) counts[one]++;
    const atLeast = counts.run + counts.rebuild;
    return { statuses, counts, executions: { atLeast, atMost: atLeast + counts.unknown + lost() } };
  }

  return {
    planned,
    reason,
    outline,
    snapshot: () => {
      const { statuses, ...totals } = outline();
      return { ...totals, steps: statuses.map((one, index) => ({ status: one, reason: reason(index) })) };
    },
  };
}
