import stringWidth from "string-width";
import type { MarkedWord } from "../captions/word-changes.ts";
import { percent, type CaptionRow, type CaptionSheet } from "./caption-rows.ts";
import { escapeXml, evenWidth, ink, shortened, svgDocument, textLine } from "./svg.ts";

const width = 1000;
const margin = 24;
const gutter = 28;
const size = 13;
const lineHeight = 19;
const column = (width - 2 * margin - gutter) / 2;

/** Characters of a line in one column, and across the prompt's panel. */
const columnCharacters = Math.floor(column / (evenWidth * size));
const panelCharacters = Math.floor((width - 2 * margin - 24) / (evenWidth * 12));

/** A caption sheet as SVG: the prompt in a panel, then each caption before and after, side by side. */
export function drawCaptionSheet({ title, prompt, rows }: CaptionSheet): string {
  const elements: string[] = [];
  let y = margin;
  if (title !== "") {
    elements.push(textLine(margin, y + 14, title, { size: 17, bold: true }));
    y += 32;
  }
  if (prompt !== "") {
    const lines = prompt.split(/\r?\n/).flatMap((line) => inLines(plain(line), panelCharacters));
    const height = 24 + 17 * lines.length;
    elements.push(
      `<rect x="${margin}" y="${y}" width="${width - 2 * margin}" height="${height}" rx="4" fill="${ink.panel}" stroke="${ink.line}"/>`,
      ...lines.map((words, index) =>
        textLine(margin + 12, y + 25 + 17 * index, { markup: markup(words, "") }, { size: 12, even: true }),
      ),
    );
    y += height + 24;
  }
  const right = margin + column + gutter;
  elements.push(
    textLine(margin, y + 12, "Before", { size: 14, bold: true }),
    textLine(right, y + 12, "After", { size: 14, bold: true }),
  );
  y += 22;
  for (const row of rows) {
    const drawn = drawRow(row, y, right);
    elements.push(...drawn.elements);
    y += drawn.height;
  }
  return svgDocument(width, y + margin / 2, elements);
}

function drawRow(row: CaptionRow, top: number, right: number): { elements: string[]; height: number } {
  const { id, by, wmr, before, after } = row;
  const sides = [
    { x: margin, lines: inLines(before, columnCharacters), mark: struckOut },
    { x: right, lines: inLines(after, columnCharacters), mark: emphasised },
  ];
  const note = { size: 11, fill: ink.faint, even: true };
  const noteCharacters = Math.floor(column / (evenWidth * note.size));
  const elements = [
    `<line x1="${margin}" x2="${width - margin}" y1="${top}" y2="${top}" stroke="${ink.line}"/>`,
    textLine(margin, top + 18, shortened(id, noteCharacters), note),
    textLine(right, top + 18, shortened(`${percent(wmr)} of the words · ${by}`, noteCharacters), note),
    ...sides.flatMap(({ x, lines, mark }) =>
      lines.map((words, index) =>
        textLine(x, top + 38 + lineHeight * index, { markup: markup(words, mark) }, { size, even: true }),
      ),
    ),
  ];
  const lines = Math.max(1, ...sides.map((side) => side.lines.length));
  return { elements, height: 38 + lineHeight * lines };
}

const struckOut = `text-decoration="line-through" fill="${ink.faint}"`;
const emphasised = 'text-decoration="underline" font-weight="bold"';

/** Words of one line; neighbours that are marked share one element, so that the mark runs on between them. */
function markup(words: readonly MarkedWord[], mark: string): string {
  let result = "";
  for (const [index, { text, changed }] of words.entries()) {
    const goesOn = changed && words[index + 1]?.changed === true;
    const begins = changed && words[index - 1]?.changed !== true;
    if (begins) result += `<tspan ${mark}>`;
    result += escapeXml(text);
    if (changed && !goesOn) result += "</tspan>";
    if (index < words.length - 1) result += " ";
  }
  return result;
}

/** Breaks words into lines of at most so many columns; a word that is longer than a line is broken itself. */
function inLines(words: readonly MarkedWord[], columns: number): MarkedWord[][] {
  const lines: MarkedWord[][] = [[]];
  let used = 0;
  for (const word of words.flatMap((one) => pieces(one, columns))) {
    const needed = stringWidth(word.text);
    if (used > 0 && used + 1 + needed > columns) {
      lines.push([]);
      used = 0;
    }
    lines.at(-1)?.push(word);
    used += needed + (used > 0 ? 1 : 0);
  }
  return lines;
}

function pieces({ text, changed }: MarkedWord, columns: number): MarkedWord[] {
  const found: string[] = [""];
  for (const character of text) {
    if (stringWidth((found.at(-1) as string) + character) > columns) found.push("");
    found[found.length - 1] += character;
  }
  return found.map((piece) => ({ text: piece, changed }));
}

function plain(line: string): MarkedWord[] {
  return line.split(/\s+/).map((text) => ({ text, changed: false }));
}
