import type { TableRow } from "../records.ts";
import type { PrintedTable } from "./tables.ts";

/** One row per printed number; what is not printed has none. */
export function printedRows({ across, columns, keys, rows, unit }: PrintedTable): readonly TableRow[] {
  return rows.flatMap((row) =>
    columns.flatMap((column, index): TableRow[] => {
      const number = row[keys.length + index];
      if (typeof number !== "number") return [];
      const place = Object.fromEntries(keys.map((key, i) => [key, row[i] ?? null]));
      // Printed to one decimal of a percent: a tenth of that keeps rounding out of the ratio.
      const value = unit === "percent" ? Math.round(number * 10) / 1000 : number;
      return [{ ...place, [across]: column, value }];
    }),
  );
}
