import type { Scalar } from "../../engine/sdk.ts";
import { bestCells, cellText, labelText, missing, type NumberFormat } from "./cell-text.ts";
import type { Pivot } from "./pivot.ts";

/** How a table is written. */
export interface TableStyle {
  readonly title: string;
  readonly format: NumberFormat;
  readonly best: "none" | "max" | "min";
  readonly bestAmong: readonly string[];
  /** Label or field -> the words that stand for it. */
  readonly names: Readonly<Record<string, string>>;
}

/** A table as Markdown, padded so that it also reads as plain text. */
export function markdownTable(pivot: Pivot, style: TableStyle): string {
  const best = bestCells(pivot, { best: style.best, among: style.bestAmong, format: style.format });
  const show = (label: Scalar | undefined): string => escapeMarkdown(labelText(label, style.names));
  const header = [
    ...pivot.rowNames.map(show),
    ...pivot.columns.map((labels) => labels.map(show).join(" / ")),
  ];
  if (pivot.columns.length === 1 && pivot.columns[0]?.length === 0) header[header.length - 1] = "value";
  const body = pivot.rows.map((labels, row) => [
    ...freshLabels(pivot, row).map((fresh, field) => (fresh ? show(labels[field]) : "")),
    ...(pivot.cells[row] ?? []).map((cell, column) => {
      const text = cellText(cell, style.format);
      return best[row]?.[column] ? `**${text}**` : text;
    }),
  ]);
  const widths = header.map((_, column) =>
    Math.max(3, ...[header, ...body].map((cells) => (cells[column] ?? "").length)),
  );
  const left = pivot.rowNames.length;
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i < left ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(" | ")} |`;
  const rule = widths.map((width, i) => (i < left ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  const title = style.title === "" ? [] : [`**${escapeMarkdown(style.title)}**`, ""];
  return [...title, line(header), line(rule), ...body.map(line), ""].join("\n");
}

/** A table as CSV (RFC 4180): every label in every row, numbers as they were measured, nothing where none was. */
export function csvTable(pivot: Pivot): string {
  const columnHeader = (labels: readonly Scalar[], suffix = ""): string =>
    (labels.length === 0 ? "value" : labels.map((label) => labelText(label, {})).join(" / ")) + suffix;
  const spread = (["sd", "ci"] as const).find((name) => pivot.cells.flat().some((cell) => name in cell));
  const header = [
    ...pivot.rowNames,
    ...pivot.columns.flatMap((labels) => [
      columnHeader(labels),
      ...(spread ? [columnHeader(labels, ` ${spread}`), columnHeader(labels, " n")] : []),
    ]),
  ];
  const number = (value: number | null | undefined): string =>
    value === null || value === undefined ? "" : String(value);
  const rows = pivot.rows.map((labels, row) => [
    ...labels.map((label) => (label === null ? "" : String(label))),
    ...(pivot.cells[row] ?? []).flatMap((cell) => [
      number(cell.value),
      ...(spread ? [number(cell[spread]), String(cell.n)] : []),
    ]),
  ]);
  return [header, ...rows].map((cells) => `${cells.map(quoteCsv).join(",")}\r\n`).join("");
}

/** A table as a LaTeX `table` with `booktabs` rules; column fields become nested headers. */
export function latexTable(pivot: Pivot, style: TableStyle): string {
  const best = bestCells(pivot, { best: style.best, among: style.bestAmong, format: style.format });
  const show = (label: Scalar | undefined): string => escapeLatex(labelText(label, style.names));
  const left = pivot.rowNames.length;
  const levels = Math.max(1, pivot.columns[0]?.length ?? 0);
  const headers = Array.from({ length: levels }, (_, level) => {
    const lastLevel = level === levels - 1;
    const names = pivot.rowNames.map((name) => (lastLevel ? show(name) : ""));
    if (lastLevel) {
      const labels = pivot.columns.map((column) => (column.length === 0 ? "value" : show(column[level])));
      return latexRow([...names, ...labels]);
    }
    const spans = headerSpans(pivot, level);
    const cells = spans.map(({ label, length }) => `\\multicolumn{${length}}{c}{${show(label)}}`);
    const rules = spans.map(
      ({ start, length }) => `\\cmidrule(lr){${left + start + 1}-${left + start + length}}`,
    );
    return `${latexRow([...names, ...cells])}\n${rules.join(" ")}`;
  });
  const body = pivot.rows.flatMap((labels, row) => {
    const fresh = freshLabels(pivot, row);
    const cells = (pivot.cells[row] ?? []).map((cell, column) => {
      const text = escapeLatex(cellText(cell, style.format));
      return best[row]?.[column] ? `\\textbf{${text}}` : text;
    });
    const rule = row > 0 && left > 1 && fresh[0] ? ["\\midrule"] : [];
    return [
      ...rule,
      latexRow([...fresh.map((isFresh, field) => (isFresh ? show(labels[field]) : "")), ...cells]),
    ];
  });
  return [
    "% needs \\usepackage{booktabs}",
    "\\begin{table}",
    "\\centering",
    ...(style.title === "" ? [] : [`\\caption{${escapeLatex(style.title)}}`]),
    `\\begin{tabular}{${"l".repeat(left)}${"r".repeat(pivot.columns.length)}}`,
    "\\toprule",
    ...headers,
    "\\midrule",
    ...body,
    "\\bottomrule",
    "\\end{tabular}",
    "\\end{table}",
    "",
  ].join("\n");
}

/** A table as JSON: one entry per cell with its labels, value and text. */
export function jsonTable(pivot: Pivot, style: TableStyle): string {
  const cells = pivot.rows.flatMap((row, i) =>
    pivot.columns.map((column, j) => {
      const cell = pivot.cells[i]?.[j] ?? { value: null, n: 0 };
      return { row, column, ...cell, text: cellText(cell, style.format) };
    }),
  );
  const { title } = style;
  return `${JSON.stringify({ title, rows: pivot.rowNames, columns: pivot.columnNames, cells }, undefined, 2)}\n`;
}

/** For each row label, whether it begins: a label repeated from the row above is left blank. */
function freshLabels(pivot: Pivot, row: number): boolean[] {
  const labels = pivot.rows[row] ?? [];
  const above = pivot.rows[row - 1];
  let changed = above === undefined;
  return labels.map((label, field) => {
    changed ||= label !== above?.[field] || field === labels.length - 1;
    return changed;
  });
}

/** Neighbouring columns that share their labels down to a level. */
function headerSpans(
  pivot: Pivot,
  level: number,
): { label: Scalar | undefined; start: number; length: number }[] {
  const spans: { label: Scalar | undefined; key: string; start: number; length: number }[] = [];
  pivot.columns.forEach((labels, start) => {
    const key = JSON.stringify(labels.slice(0, level + 1));
    const last = spans.at(-1);
    if (last?.key === key) last.length++;
    else spans.push({ label: labels[level], key, start, length: 1 });
  });
  return spans;
}

function latexRow(cells: readonly string[]): string {
  return `${cells.join(" & ")} \\\\`;
}

function escapeMarkdown(text: string): string {
  return text.replace(/[\\|*`<]/g, "\\$&").replace(/\s+/g, " ");
}

/** Quoted where needed. What a spreadsheet would take for a formula keeps its text: this is data, not display. */
function quoteCsv(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const latexCharacters: Readonly<Record<string, string>> = {
  "\\": "\\textbackslash{}",
  "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}",
  "<": "\\textless{}",
  ">": "\\textgreater{}",
  "±": "$\\pm$",
  [missing]: "--",
};

function escapeLatex(text: string): string {
  return text.replace(/[\\~^<>±–&%$#_{}]/g, (character) => latexCharacters[character] ?? `\\${character}`);
}
