import stringWidth from "string-width";
import { printable } from "../report/format.ts";

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });
// Almost everything is ASCII or one of the UI's own glyphs: measuring that by its length keeps a frame cheap.
const ascii = /^[ -~]*$/;
const narrow = /^[ -~·–…↑↓─━■□▒▣○◆▁-█⊗✗❯]*$/;

/** A text as it may stand in a row: nothing in it acts on the terminal or begins another row. */
export function inRow(text: string): string {
  return narrow.test(text) ? text : printable(text).replaceAll("\n", " ");
}

/** Columns that a printable text takes on a terminal. */
export function textWidth(text: string): number {
  return narrow.test(text) ? text.length : stringWidth(text);
}

/** The text in at most `width` columns: what does not fit ends in an ellipsis. */
export function cut(text: string, width: number, ellipsis: string): string {
  const clean = inRow(text);
  if (textWidth(clean) <= width) return clean;
  if (width <= 0) return "";
  return head(clean, width - 1) + ellipsis;
}

/** As `cut`, with the ellipsis in the middle: of a step id, node and last labels tell most. */
function cutMiddle(text: string, width: number, ellipsis: string): string {
  const clean = inRow(text);
  if (textWidth(clean) <= width) return clean;
  if (width <= 0) return "";
  const left = Math.ceil((width - 1) / 2);
  return head(clean, left) + ellipsis + tail(clean, width - 1 - left);
}

/**
 * A step id in at most `width` columns: whole, else without the names of its axes (`finetune[image,20,ran]`), else
 * cut in the middle.
 */
export function shortId(id: string, width: number, ellipsis: string): string {
  return textWidth(id) <= width ? id : cutMiddle(id.replace(/(?<=[[,])[^=,\]]+=/g, ""), width, ellipsis);
}

/** Pads with spaces to `width` columns. */
export function padEnd(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - textWidth(text)));
}

/** Pads with spaces on the left to `width` columns. */
export function padStart(text: string, width: number): string {
  return " ".repeat(Math.max(0, width - textWidth(text))) + text;
}

/** Breaks a text into lines of at most `width` columns, at characters: log lines are no prose. */
export function wrapText(text: string, width: number): readonly string[] {
  const clean = printable(text);
  const room = Math.max(1, width);
  const lines: string[] = [];
  for (const line of clean.split("\n")) {
    if (textWidth(line) <= room) {
      lines.push(line);
      continue;
    }
    let rest = line;
    while (rest !== "") {
      // A character that is wider than the room still has to go somewhere.
      const part = head(rest, room) || first(rest);
      lines.push(part);
      rest = rest.slice(part.length);
    }
  }
  return lines;
}

function first(text: string): string {
  for (const { segment } of segmenter.segment(text)) return segment;
  return "";
}

/** The longest beginning of at most `width` columns. */
function head(text: string, width: number): string {
  if (ascii.test(text)) return text.slice(0, Math.max(0, width));
  let used = 0;
  let end = 0;
  for (const { segment, index } of segmenter.segment(text)) {
    used += textWidth(segment);
    if (used > width) break;
    end = index + segment.length;
  }
  return text.slice(0, end);
}

/** The longest end of at most `width` columns. */
function tail(text: string, width: number): string {
  if (width <= 0) return "";
  if (ascii.test(text)) return text.slice(-width);
  let used = textWidth(text);
  for (const { segment, index } of segmenter.segment(text)) {
    if (used <= width) return text.slice(index);
    used -= textWidth(segment);
  }
  return "";
}
