import type { Scalar } from "../../engine/sdk.ts";
import { NodeError } from "../../engine/sdk.ts";
import type { Cell, Pivot } from "./pivot.ts";
import type { ReportRow } from "./rows.ts";

/** The words that stand above the three columns that one becomes. */
export const comparedColumns = ["ours", "paper", "difference"] as const;

/**
 * A table beside numbers from elsewhere: each column becomes three, the measured value, the reference's and
 * the first less the second. Rows and columns stay those that were measured.
 *
 * @param reference rows that name the table's rows and columns in fields of their own, and hold `value`
 * @param across the reference's field that names which of several values a number is
 * @throws NodeError where the reference lacks such a field, or has two numbers for one cell
 */
export function compared(table: Pivot, reference: readonly ReportRow[], across?: string): Pivot {
  const own = [...table.rowNames, ...table.columnNames];
  // The last name of a table of several values is not that of a field.
  const names = across === undefined ? own : [...own.slice(0, -1), across];
  const numbers = numbersByPlace(reference, names);
  const cells = table.rows.map((row, i) =>
    table.columns.flatMap((column, j): Cell[] => {
      const ours = table.cells[i]?.[j] ?? { value: null, n: 0 };
      const theirs = numbers.get(placeKey([...row, ...column])) ?? null;
      const difference = ours.value === null || theirs === null ? null : ours.value - theirs;
      return [
        ours,
        { value: theirs, n: theirs === null ? 0 : 1 },
        { value: difference, n: difference === null ? 0 : 1, signed: true },
      ];
    }),
  );
  return {
    ...table,
    columnNames: [...table.columnNames, "from"],
    columns: table.columns.flatMap((column) => comparedColumns.map((from) => [...column, from])),
    cells,
  };
}

function numbersByPlace(
  reference: readonly ReportRow[],
  names: readonly string[],
): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const { fields } of reference) {
    const lacking = [...names, "value"].find((name) => fields[name] === undefined);
    if (lacking !== undefined) {
      throw new NodeError(`the reference has no field ${lacking}`, {
        hint: `Its fields are ${Object.keys(fields).join(", ")}; it needs value and what the table names in rows and columns.`,
      });
    }
    const key = placeKey(names.map((name) => fields[name] as Scalar));
    const { value } = fields;
    if (typeof value !== "number") continue;
    if (numbers.has(key)) {
      throw new NodeError(
        `the reference has two numbers for ${names.map((name) => `${name}=${String(fields[name])}`).join(", ")}`,
        { hint: "Name in rows or columns what tells them apart." },
      );
    }
    numbers.set(key, value);
  }
  return numbers;
}

/** Labels of axes are text where fields may be numbers: a place is told by what they read. */
function placeKey(labels: readonly Scalar[]): string {
  return JSON.stringify(labels.map(String));
}
