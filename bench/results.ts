import { existsSync, readFileSync, writeFileSync } from "node:fs";

const resultsFile = new URL("RESULTS.md", import.meta.url);

/**
 * Replaces one benchmark's section of RESULTS.md, or adds it; the other sections stay as they are.
 *
 * @param section Markdown that begins with its only heading of the first level, by which it is found again
 */
export function writeSection(section: string): void {
  const text = existsSync(resultsFile) ? readFileSync(resultsFile, "utf8") : "";
  const headingOf = (one: string): string => one.split("\n", 1)[0] ?? "";
  const others = text.split(/^(?=# )/m).filter((one) => one && headingOf(one) !== headingOf(section));
  const sections = [...others, section].map((one) => `${one.trimEnd()}\n`);
  writeFileSync(resultsFile, sections.toSorted().join("\n"));
}

/** A Markdown table, padded as prettier pads it. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((cell, column) =>
    Math.max(3, cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (cells[column] ?? "").padEnd(width)).join(" | ")} |`;
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

/** The middle value; the mean of the two middle ones of an even number. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
