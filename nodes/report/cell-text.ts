import type { Scalar } from "../../engine/sdk.ts";
import type { Cell, Pivot } from "./pivot.ts";

export interface NumberFormat {
  readonly digits: number;
  /** Shows 0.823 as 82.3. */
  readonly percent: boolean;
}

/** What a table shows where there is no value. */
export const missing = "–";

/** A cell in words: `82.3`, `82.3 ± 0.4`, or a dash. */
export function cellText({ ci, sd, signed, value }: Cell, format: NumberFormat): string {
  if (value === null) return missing;
  const text = numberText(value, format);
  const shown = signed && Number(text) > 0 ? `+${text}` : text;
  const spread = sd ?? ci;
  return spread === undefined ? shown : `${shown} ± ${numberText(spread, format)}`;
}

/** A number with the format's digits. */
export function numberText(value: number, { digits, percent }: NumberFormat): string {
  const text = (percent ? 100 * value : value).toFixed(digits);
  // A small negative number must not show as minus nothing.
  return Number(text) === 0 ? text.replace("-", "") : text;
}

/** A label as a report shows it. */
export function labelText(label: Scalar | undefined, names: Readonly<Record<string, string>>): string {
  if (label === null || label === undefined) return missing;
  const text = String(label);
  return Object.hasOwn(names, text) ? (names[text] as string) : text;
}

/**
 * Which cells are the best of their column among the rows that differ from theirs in the named fields only.
 * Equal as shown is equal: both are marked. Differences are never the best.
 *
 * @param among row fields; none for all rows of the column
 */
export function bestCells(
  pivot: Pivot,
  options: {
    readonly best: "none" | "max" | "min";
    readonly among: readonly string[];
    readonly format: NumberFormat;
  },
): boolean[][] {
  const { best, among, format } = options;
  const competing = pivot.rows.map((row) =>
    JSON.stringify(
      among.length === 0 ? [] : row.filter((_, field) => !among.includes(pivot.rowNames[field] as string)),
    ),
  );
  const shown = pivot.cells.map((cells) =>
    cells.map(({ value, signed }) => (value === null || signed ? null : Number(numberText(value, format)))),
  );
  return shown.map((cells, row) =>
    cells.map((value, column) => {
      if (best === "none" || value === null) return false;
      const rivals = shown.filter((_, other) => competing[other] === competing[row]);
      const values = rivals
        .map((others) => others[column])
        .filter((other) => other !== null && other !== undefined);
      return value === (best === "max" ? Math.max(...values) : Math.min(...values));
    }),
  );
}
