import { decodeEntity } from "html-entities";

const reference = /&(?:#(\d+|[xX][0-9a-fA-F]+);?|([^\t\n\f <&#;]{1,32};?))/g;

/**
 * Replaces character references as HTML5 and Python's `html.unescape` do: with or without the semicolon where HTML
 * allows that, the longest known name first (`&notit;` is `¬it;`), numbers 128-159 as Windows-1252.
 */
export function unescapeHtml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(reference, (whole, number: string | undefined, name: string | undefined) =>
    number === undefined ? named(name ?? "") : numbered(number, whole),
  );
}

/** Replaces only references with a semicolon, as ftfy does before the rest of its cleaning. */
export function unescapeStrictHtml(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (whole) => {
    if (whole.startsWith("&#")) {
      const decoded = unescapeHtml(whole);
      return decoded.includes(";") && decoded !== ";" ? whole : decoded;
    }
    return entity(whole.slice(1)) ?? shouted(whole.slice(1)) ?? whole;
  });
}

/** `&EACUTE;`, as all-capital text writes `&Eacute;`. */
function shouted(name: string): string | undefined {
  const lower = name.toLowerCase();
  return name === name.toUpperCase() ? entity(lower)?.toUpperCase() : undefined;
}

function named(name: string): string {
  for (let length = name.length; length > 1; length--) {
    const found = entity(name.slice(0, length));
    if (found !== undefined) return found + name.slice(length);
  }
  return `&${name}`;
}

function entity(name: string): string | undefined {
  const written = `&${name}`;
  const decoded = decodeEntity(written, { level: "html5" });
  return decoded === written ? undefined : decoded;
}

/** What HTML5 makes of numbers 128 to 159: characters of Windows-1252, where it has one. */
export const windows1252 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

function numbered(number: string, whole: string): string {
  const code = /^[xX]/.test(number) ? Number.parseInt(number.slice(1), 16) : Number.parseInt(number, 10);
  if (Number.isNaN(code)) return whole;
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return "\ufffd";
  if (code >= 0x80 && code <= 0x9f) return windows1252[code - 0x80] ?? "";
  return isForbidden(code) ? "" : String.fromCodePoint(code);
}

/** Control characters and non-characters, which HTML5 drops. */
function isForbidden(code: number): boolean {
  if (code === 0x0d) return false;
  const control = code <= 0x08 || (code >= 0x0e && code <= 0x1f) || code === 0x0b || code === 0x7f;
  return control || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;
}
