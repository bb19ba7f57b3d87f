import { encode } from "html-entities";
import { figureFont } from "./figure-spec.ts";

/** A font whose characters are all equally wide, so that text is broken into lines without drawing it. */
const evenFont = "DejaVu Sans Mono, Menlo, Consolas, monospace";

/** Width of a character of that font, in its size. */
export const evenWidth = 0.602;

/** Ink and greys that stay apart in print without colour. */
export const ink = { text: "#16202e", faint: "#5b6675", line: "#c3c9d1", panel: "#f2f4f6" } as const;

export interface TextStyle {
  readonly size: number;
  readonly fill?: string;
  readonly bold?: boolean;
  readonly anchor?: "start" | "middle";
  /** All characters equally wide. */
  readonly even?: boolean;
}

/** A line of text as an SVG element; `content` is text, or elements made by `span`. */
export function textLine(
  x: number,
  y: number,
  content: string | { readonly markup: string },
  style: TextStyle,
): string {
  const { size, fill = ink.text, bold = false, anchor = "start", even = false } = style;
  const weight = bold ? ' font-weight="bold"' : "";
  const placed = anchor === "start" ? "" : ` text-anchor="${anchor}"`;
  const inner = typeof content === "string" ? escapeXml(content) : content.markup;
  return `<text x="${x}" y="${y}" font-family="${even ? evenFont : figureFont}" font-size="${size}" fill="${fill}"${weight}${placed}>${inner}</text>`;
}

/** Text for XML: markup is escaped, and characters that XML cannot hold become the replacement character. */
export function escapeXml(text: string): string {
  const legal = text.toWellFormed().replaceAll(/[[\p{Cc}--[\t\n\r]]\uFFFE\uFFFF]/gv, "\uFFFD");
  return encode(legal, { mode: "specialChars", level: "xml" });
}

/** A whole SVG document on white. */
export function svgDocument(width: number, height: number, elements: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...elements,
    "</svg>",
    "",
  ].join("\n");
}

/** Text of at most so many characters, an ellipsis in its middle where it is longer: ids differ at their ends. */
export function shortened(text: string, characters: number): string {
  const all = [...text];
  if (all.length <= characters) return text;
  const head = Math.ceil((characters - 1) / 2);
  return [...all.slice(0, head), "…", ...all.slice(all.length - (characters - 1 - head))].join("");
}
