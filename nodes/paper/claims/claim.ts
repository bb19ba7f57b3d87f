import type { Facts } from "./facts.ts";

/** One comparison that a claim makes: the first number has to be the greater one. Null where it was not measured. */
export interface Comparison {
  /** What is compared, in words: `chestxray14, image noise: probe at 5 % > clean`. */
  readonly what: string;
  readonly greater: number | null;
  readonly lesser: number | null;
  /** Of means: they are over a part only of the cells that the claim is about. */
  readonly partial?: true;
}

/** A claim of the paper, as comparisons that all have to hold. */
export interface Claim {
  readonly id: string;
  readonly statement: string;
  /** What its numbers are: ratios shown as percent, or cosines. */
  readonly unit: "percent" | "score";
  readonly compare: (facts: Facts) => readonly Comparison[];
}

export type Verdict = "holds" | "does not hold" | "not measured";

/** What came of a claim. */
export interface ClaimResult extends Omit<Claim, "compare"> {
  readonly verdict: Verdict;
  readonly holding: number;
  readonly measured: number;
  /** Comparisons that the claim makes on the paper's whole grid. */
  readonly of: number;
  /** True where the verdict rests on a part of what the claim is about. */
  readonly partial: boolean;
  readonly comparisons: readonly (Comparison & { readonly holds: boolean | null })[];
}

/** Differences below this are rounding: equal numbers are not greater. */
const tolerance = 1e-9;

/**
 * Evaluates a claim on what was measured. One comparison that fails refutes it; where none was measured, nothing is
 * said. How much of it was measured stands beside the verdict.
 */
export function evaluateClaim({ compare, ...claim }: Claim, facts: Facts): ClaimResult {
  const comparisons = compare(facts).map((comparison) => ({ ...comparison, holds: holds(comparison) }));
  const measured = comparisons.filter((comparison) => comparison.holds !== null).length;
  const holding = comparisons.filter((comparison) => comparison.holds === true).length;
  const verdict = measured === 0 ? "not measured" : holding === measured ? "holds" : "does not hold";
  const partial = measured < comparisons.length || comparisons.some((comparison) => comparison.partial);
  return { ...claim, verdict, holding, measured, of: comparisons.length, partial, comparisons };
}

function holds({ greater, lesser }: Comparison): boolean | null {
  return greater === null || lesser === null ? null : greater - lesser > tolerance;
}
