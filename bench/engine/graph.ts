/**
 * The graph that all tools run: 1 -> G -> 3G -> 6G -> 1. Each step writes 20 bytes; one of the G reads its text from
 * where a user of the tool would keep it, and the last step reads all 6G.
 */
export interface Graph {
  readonly groups: number;
  readonly steps: number;
}

/** Steps behind one of the G. */
export const thirdLayer = 3;
export const fourthLayer = 2;

/** The largest graph of this form with at most so many steps. */
export function graphOf(steps: number): Graph {
  const perGroup = 1 + thirdLayer + thirdLayer * fourthLayer;
  const groups = Math.floor((steps - 2) / perGroup);
  if (groups < 1) throw new Error(`${steps} steps are too few: 12 is the least`);
  return { groups, steps: 2 + groups * perGroup };
}

/** 20 bytes that tell a step from the others. */
export function textOf(layer: string, ...at: readonly (number | string)[]): string {
  return `${layer}-${at.join("-")}`.padEnd(20, ".").slice(0, 20);
}

export function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Text of a group; the one in the middle is another for every edition, which is the edit that is timed. */
export function groupText({ groups }: Graph, group: number, edition: number): string {
  return group === groups >> 1 && edition > 0 ? textOf("edit", edition) : textOf("group", group);
}
