/**
 * Rows as lines in which columns line up, two spaces apart.
 *
 * @param isNumber columns whose cells end in line rather than begin so
 */
export function columns(
  rows: readonly (readonly string[])[],
  isNumber: readonly boolean[] = [],
): readonly string[] {
  // Row by row: there may be more rows than a function takes arguments.
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  const padded = (cell: string, column: number): string =>
    isNumber[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(padded).join("  ").trimEnd());
}
