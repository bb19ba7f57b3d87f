import { NodeError } from "../../engine/sdk.ts";
import { closest } from "../data/closest.ts";

/**
 * The rows of a sheet: those of the ids in their order, or the first ones.
 *
 * @param kind what the rows are, for messages
 * @throws NodeError where an id is unknown, or there is no row at all
 */
export function chosenRows<T extends { readonly id: string }>(
  rows: readonly T[],
  { ids, count }: { readonly ids: readonly string[]; readonly count: number },
  kind: string,
): readonly T[] {
  if (rows.length === 0) {
    throw new NodeError(`there are no ${kind} to show`, {
      hint: "Check the limit and the percent of the nodes before.",
    });
  }
  if (ids.length === 0) return rows.slice(0, count);
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => {
    const row = byId.get(id);
    if (row) return row;
    const near = closest(id, [...byId.keys()]);
    throw new NodeError(`${JSON.stringify(id)} is not among the ${rows.length} ${kind}`, {
      hint: near ? `Did you mean ${near}?` : `They begin with ${[...byId.keys()].slice(0, 3).join(", ")}.`,
    });
  });
}
