import { noRows, percent, type CaptionRow, type CaptionSheet } from "./caption-rows.ts";
import { emphasised, inLines, markup, plain, struckOut } from "./marked-lines.ts";
import { evenWidth, ink, shortened, svgDocument, textLine } from "./svg.ts";

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
  if (rows.length === 0) {
    elements.push(textLine(margin, y + 16, noRows, { size, fill: ink.faint }));
    y += lineHeight + 8;
  }
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
