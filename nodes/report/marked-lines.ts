import stringWidth from "string-width";
import type { MarkedWord } from "../captions/word-changes.ts";
import { escapeXml, ink } from "./svg.ts";

/** How changed words look: what is gone, and what is new. They can be told without colour. */
export const struckOut = `text-decoration="line-through" fill="${ink.faint}"`;
export const emphasised = 'text-decoration="underline" font-weight="bold"';

/** Words of one line; neighbours that are marked share one element, so that the mark runs on between them. */
export function markup(words: readonly MarkedWord[], mark: string): string {
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
export function inLines(words: readonly MarkedWord[], columns: number): MarkedWord[][] {
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

/** Words without a mark. */
export function plain(line: string): MarkedWord[] {
  return line.split(/\s+/).map((text) => ({ text, changed: false }));
}
