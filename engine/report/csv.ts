import type { Scalar } from "../model/json.ts";

/** Records as CSV (RFC 4180, with line feeds): nothing where a record lacks a column. */
export function csvText(
  columns: readonly string[],
  rows: readonly Readonly<Record<string, Scalar | undefined>>[],
): string {
  const quote = (value: Scalar | undefined): string => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((column) => row[column]))]
    .map((cells) => `${cells.map(quote).join(",")}\n`)
    .join("");
}
