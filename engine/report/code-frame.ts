import { styleText } from "node:util";
import stringWidth from "string-width";
import type { Diagnostic } from "../model/diagnostic.ts";
import type { SourceFile, SourceRange } from "../model/source.ts";

export interface FormatOptions {
  readonly color: boolean;
}

type Style = Parameters<typeof styleText>[0];
type Paint = (style: Style, text: string) => string;

/**
 * A diagnostic as text of several lines, without a newline at the end: `path:line:column code message`, the
 * lines with a squiggle under the place, the hint, and the related places with theirs.
 */
export function formatDiagnostic(diagnostic: Diagnostic, { color }: FormatOptions): string {
  const paint: Paint = (style, text) => (color ? styleText(style, text, { validateStream: false }) : text);
  const { code, hint, location, message, related = [], severity } = diagnostic;
  const style = severity === "error" ? "red" : "yellow";
  const label = severity === "error" ? code : `warning ${code}`;
  const lines = [
    [location && paint("bold", place(location)), paint([style, "bold"], label), printable(message)]
      .filter((part) => part !== undefined)
      .join(" "),
    ...(location ? frame(location, style, paint, 1) : []),
  ];
  if (hint !== undefined) lines.push(`  ${paint("cyan", "hint:")} ${printable(hint)}`);
  for (const other of related) {
    lines.push(
      `  ${place(other.location)} ${printable(other.message)}`,
      ...frame(other.location, "blue", paint, 0),
    );
  }
  return lines.join("\n");
}

/** Diagnostics one after the other, with an empty line between them and a count at the end. */
export function formatDiagnostics(diagnostics: readonly Diagnostic[], options: FormatOptions): string {
  if (diagnostics.length === 0) return "";
  const errors = diagnostics.filter(({ severity }) => severity === "error").length;
  const counts = [count(errors, "error"), count(diagnostics.length - errors, "warning")].filter(
    (text) => text !== "",
  );
  return [...diagnostics.map((diagnostic) => formatDiagnostic(diagnostic, options)), counts.join(", ")].join(
    "\n\n",
  );
}

/** Line and column of an offset, both from 1; columns count UTF-16 units, as editors do. */
export function lineAndColumn(
  file: SourceFile,
  offset: number,
): { readonly line: number; readonly column: number } {
  const starts = lineStarts(file);
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
}

const starts = new WeakMap<SourceFile, readonly number[]>();

function lineStarts(file: SourceFile): readonly number[] {
  let found = starts.get(file);
  if (!found) {
    found = [0, ...Array.from(file.text.matchAll(/\r\n|\n|\r/g), ({ 0: end, index }) => index + end.length)];
    starts.set(file, found);
  }
  return found;
}

function place({ file, start }: SourceRange): string {
  const { line, column } = lineAndColumn(file, start);
  return `${printable(file.path)}:${line}:${column}`;
}

/** Widest line that is shown whole; of a longer one, the part around the place. */
const maxWidth = 100;

/** The line of a place, with a squiggle below and so many lines of context above. */
function frame({ file, start, end }: SourceRange, style: Style, paint: Paint, context: number): string[] {
  const { line, column } = lineAndColumn(file, start);
  const numbers = Array.from(
    { length: Math.min(context, line - 1) + 1 },
    (_, i) => line - Math.min(context, line - 1) + i,
  );
  const gutter = Math.max(String(line).length, 3) + 2;
  const text = lineText(file, line);
  const from =
    column - 1 + (end - start) > maxWidth ? Math.max(0, Math.min(column - 21, text.length - maxWidth)) : 0;
  const shown = numbers.flatMap((number) => {
    const content = lineText(file, number);
    if (number < line && content.trim() === "") return [];
    const part = printable(content.slice(from, from + maxWidth));
    const cut = content.length > from + maxWidth ? "..." : "";
    const mark = number === line ? paint(style, ">") : " ";
    return `${mark}${paint("dim", `${String(number).padStart(gutter - 1)} |`)} ${part}${cut}`.trimEnd();
  });
  const visible = Math.max(0, Math.min(end, start + text.length - (column - 1)) - start);
  const width = Math.max(1, Math.min(columns(text.slice(column - 1, column - 1 + visible)), maxWidth));
  const indent = " ".repeat(columns(text.slice(from, column - 1)));
  return [
    ...shown,
    ` ${" ".repeat(gutter - 1)}${paint("dim", " |")} ${indent}${paint(style, "^".repeat(width))}`,
  ];
}

function lineText(file: SourceFile, line: number): string {
  const all = lineStarts(file);
  return file.text.slice(all[line - 1] ?? 0, all[line] ?? file.text.length).replace(/[\r\n]+$/, "");
}

/** Columns of a terminal: Chinese letters take two. */
const columns = (text: string): number => stringWidth(printable(text));

/** Text from a file cannot move the cursor or change colours: a tab is shown as an arrow, other controls as a box. */
function printable(text: string): string {
  return text.replaceAll("\t", "→").replace(/\p{Cc}|[\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, "\u25a1");
}

function count(number: number, what: string): string {
  if (number === 0) return "";
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
