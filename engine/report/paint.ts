const codes = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
} as const;

export type Style = keyof typeof codes;

/** Puts a style on a text, or nothing where colours are off. */
export type Paint = (style: Style, text: string) => string;

/** A painter that uses ANSI styles, or none. */
export function createPaint(color: boolean): Paint {
  return (style, text) =>
    color && text !== "" ? `\u001b[${codes[style][0]}m${text}\u001b[${codes[style][1]}m` : text;
}
