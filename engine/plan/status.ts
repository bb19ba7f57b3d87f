import type { Step } from "../model/grid.ts";
import type { Plan, PlannedStep, Reason, StepStatus } from "../model/plan.ts";
import { unreachable } from "../model/result.ts";
import type { Lineage } from "./lineage.ts";
import type { Recipes } from "./recipes.ts";
import type { StepState } from "./step-state.ts";

const upstreamNamed = 8;

/** What the planner's decisions mean to the user. */
export interface Status {
  snapshot(): Plan;
  planned(step: number): PlannedStep;
  reason(step: number): Reason;
}

export function createStatus(parts: {
  readonly steps: readonly Step[];
  /** Steps that each step reads. */
  readonly upstream: readonly (readonly number[])[];
  readonly states: readonly StepState[];
  readonly recipes: Recipes;
  readonly lineage: Lineage;
}): Status {
  const { steps, upstream, states, recipes, lineage } = parts;
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
    return workerOf(index) === index ? "unknown" : "shared";
  }

  function reason(index: number): Reason {
    const { decision, scan } = stateAt(index);
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
        return reasonToRun(index);
      case "undecided": {
        const worker = workerOf(index);
        if (worker !== index) return { kind: "same-work", as: stepAt(worker).id };
        if (scan === "wanted") return { kind: "not-scanned" };
        const waitsFor = (upstream[index] ?? []).filter((read) => stateAt(read).outputs === undefined);
        return {
          kind: "upstream-runs",
          steps: waitsFor.slice(0, upstreamNamed).map((read) => stepAt(read).id),
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

  return {
    planned,
    reason,
    snapshot: () => {
      const counts: Record<StepStatus, number> = { hit: 0, run: 0, rebuild: 0, shared: 0, unknown: 0 };
      const plan = steps.map((_, index) => planned(index));
      for (const step of plan) counts[step.status]++;
      const atLeast = counts.run + counts.rebuild;
      return { steps: plan, counts, executions: { atLeast, atMost: atLeast + counts.unknown } };
    },
  };
}
