import type { Scalar } from "../../engine/sdk.ts";

/**
 * Labels in the order of their axis, from rows that come in grid order. A trimmed grid may lack an axis's first label
 * in its first rows, so the rows of each group (those that agree on everything else) only say which labels follow
 * which; of the labels that nothing has to precede, the one seen first comes next.
 *
 * @param labels one per row
 * @param groups one per row
 */
export function axisOrder(labels: readonly Scalar[], groups: readonly string[]): Scalar[] {
  const seen = [...new Set(labels)];
  const before = new Map<Scalar, Set<Scalar>>(seen.map((label) => [label, new Set()]));
  const met = new Map<string, Set<Scalar>>();
  labels.forEach((label, row) => {
    const group = groups[row] as string;
    const earlier = met.get(group) ?? new Set();
    met.set(group, earlier);
    // Only a label's first place says anything: an axis that no name addresses makes labels come again.
    if (earlier.has(label)) return;
    for (const other of earlier) before.get(label)?.add(other);
    earlier.add(label);
  });

  const ordered: Scalar[] = [];
  const left = new Set(seen);
  while (left.size > 0) {
    const free = [...left].find((label) => [...(before.get(label) ?? [])].every((other) => !left.has(other)));
    // Groups that contradict each other have no common order: then what was seen first goes first.
    const next = free === undefined ? ([...left][0] as Scalar) : free;
    ordered.push(next);
    left.delete(next);
  }
  return ordered;
}
