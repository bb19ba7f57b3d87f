import type { NodeSpec } from "../load/nodes.ts";

/** The nodes of a pipeline without its optional ones, unless a node that stays reads them, directly or through others. */
export function neededNodes(order: readonly NodeSpec[]): readonly NodeSpec[] {
  const needed = new Set(order.flatMap(({ ifRead, name }) => (ifRead ? [] : name)));
  for (const { name, ports } of order.toReversed()) {
    if (!needed.has(name)) continue;
    for (const { sources } of ports) {
      for (const { choices } of sources) {
        for (const { bindings } of choices) for (const { node } of bindings) needed.add(node);
      }
    }
  }
  return order.filter(({ name }) => needed.has(name));
}
