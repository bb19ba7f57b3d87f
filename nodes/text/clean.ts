import { unescapeHtml, unescapeStrictHtml, windows1252 } from "./html.ts";
import { fixMojibake } from "./mojibake.ts";

/** What Python's `str.split()` takes for white space. JavaScript's `\s` lacks the first ones and has U+FEFF. */
// oxlint-disable-next-line no-control-regex
const whitespace = /[\u001c-\u001f\u0085\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

// oxlint-disable-next-line no-control-regex
const terminalEscapes = /\u001b\[[\d;]*[a-zA-Z]/g;

/** Control characters without a meaning in text: ASCII, Arabic shaping, annotation, byte order mark. */
const controls =
  // oxlint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b\u000e-\u001f\u007f\u206a-\u206f\ufeff\ufff9-\ufffc]/g;

const ligatures = new Map(
  Object.entries({
    Ĳ: "IJ",
    ĳ: "ij",
    ŉ: "ʼn",
    Ǳ: "DZ",
    ǲ: "Dz",
    ǳ: "dz",
    Ǆ: "DŽ",
    ǅ: "Dž",
    ǆ: "dž",
    Ǉ: "LJ",
    ǈ: "Lj",
    ǉ: "lj",
    Ǌ: "NJ",
    ǋ: "Nj",
    ǌ: "nj",
    ﬀ: "ff",
    ﬁ: "fi",
    ﬂ: "fl",
    ﬃ: "ffi",
    ﬄ: "ffl",
    ﬅ: "ſt",
    ﬆ: "st",
  }),
);
const ligature = new RegExp(`[${[...ligatures.keys()].join("")}]`, "g");

/**
 * Cleans a caption as open_clip's tokeniser does: ftfy's repairs, HTML unescaped twice, white space folded, lower
 * case. Follows the behaviour of open_clip 3.3 with ftfy 6.3.
 */
export function cleanCaption(text: string): string {
  return cleanWhitespace(text).toLowerCase();
}

/** Cleans a caption as open_clip does before a Hugging Face tokeniser: as `cleanCaption`, in the case it has. */
export function cleanWhitespace(text: string): string {
  const unescaped = unescapeHtml(unescapeHtml(fixText(text)));
  return unescaped.replace(whitespace, " ").replace(/^ | $/g, "");
}

/**
 * Repairs what encodings and word processors do to text, as `ftfy.fix_text` with its defaults: character references,
 * UTF-8 read as Windows-1252, control characters, ligatures, full-width forms, curly quotes, line breaks, NFC.
 */
export function fixText(text: string): string {
  // From the first line with a "<" on, the text may be HTML, where references are meant.
  let html = false;
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      html ||= line.includes("<");
      return fixLine(line, !html);
    })
    .join("");
}

function fixLine(line: string, unescape: boolean): string {
  // Plain ASCII without any sign of trouble: nearly every caption.
  if (/^[\t\n -%'-~]*$/.test(line)) return line;
  let text = line;
  for (;;) {
    const before = text;
    if (unescape) text = unescapeStrictHtml(text);
    text = repair(fixMojibake(text));
    if (text === before) return text;
  }
}

function repair(text: string): string {
  return (
    text
      // Bytes of Windows-1252 that were read as Latin-1.
      .replace(/[\u0080-\u009f]/g, (control) => windows1252[control.charCodeAt(0) - 0x80] ?? control)
      .replace(ligature, (found) => ligatures.get(found) ?? found)
      .replace(/[\u3000\uff01-\uffef]/g, (wide) => wide.normalize("NFKC"))
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/\r\n|[\r\u2028\u2029\u0085]/g, "\n")
      .toWellFormed()
      .replace(terminalEscapes, "")
      .replace(controls, "")
      .normalize("NFC")
  );
}
