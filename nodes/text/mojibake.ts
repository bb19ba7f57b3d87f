import { windows1252 } from "./html.ts";

/** Windows-1252 byte of each character that it has above ASCII; undefined bytes stand for themselves. */
const byteOf = new Map<string, number>();
for (let byte = 0x80; byte <= 0xff; byte++) byteOf.set(String.fromCharCode(byte), byte);
for (const [index, character] of [...windows1252].entries()) byteOf.set(character, 0x80 + index);

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Lead characters of UTF-8 read as Windows-1252, by how many characters follow: Latin and signs (Â, Ã), Greek and
 * Cyrillic, punctuation and mathematics (â), the byte order mark (ï), emoji (ð).
 */
const sequenceLength = new Map<string, number>([
  ...[..."ÂÃÄÅÎÏÐÑ"].map((lead): [string, number] => [lead, 2]),
  ["â", 3],
  ["ï", 3],
  ["ð", 4],
]);

/** Single sequences with these leads are never words or names as people write them. */
const certainLeads = "ÂÃâïð";

/** Sequences that ftfy leaves alone where they stand by themselves: the characters shown could be meant. */
const plausible = new Set(["Ã…", "Ã‰", "â„¢", "Å’"]);

/**
 * Repairs UTF-8 that was read as Windows-1252 or Latin-1, once or several times: `schÃ¶n` is `schön`,
 * `â€œxâ€\u009d` is `“x”`. A text that decodes as a whole is decoded; in others only sequences that decode are, and
 * the two-letter ones of Greek and Cyrillic only in a row, since a lone `Ð±` could be meant.
 */
export function fixMojibake(text: string): string {
  let fixed = text;
  for (;;) {
    const before = fixed;
    fixed = decodeWhole(before) ?? decodeRuns(before);
    if (fixed === before) return fixed;
  }
}

function decodeWhole(text: string): string | undefined {
  if (plausible.has(text) || !Array.from(text).some((character) => sequenceLength.has(character)))
    return undefined;
  return decode(text);
}

function decodeRuns(text: string): string {
  let fixed = "";
  let at = 0;
  while (at < text.length) {
    const run = mojibakeRun(text, at);
    fixed += run.decoded ?? text.slice(at, run.end);
    at = run.end;
  }
  return fixed;
}

/** The sequences that follow one another from a place on; where there are none, the one character there. */
function mojibakeRun(text: string, start: number): { end: number; decoded?: string } {
  let decoded = "";
  let end = start;
  let count = 0;
  for (;;) {
    const length = sequenceLength.get(text[end] ?? "");
    const sequence = length === undefined ? undefined : decodeOne(text.slice(end, end + length));
    if (sequence === undefined || length === undefined) break;
    decoded += sequence;
    end += length;
    count += 1;
  }
  if (count === 0) return { end: start + 1 };
  const certain =
    count > 1 || (certainLeads.includes(text[start] ?? "") && !plausible.has(text.slice(start, end)));
  return certain ? { end, decoded } : { end };
}

/** Exactly one character from as many as its lead calls for. */
function decodeOne(sequence: string): string | undefined {
  const decoded = decode(sequence);
  return decoded !== undefined && Array.from(decoded).length === 1 ? decoded : undefined;
}

/** Reads characters as the bytes that Windows-1252 has for them; undefined where they are not UTF-8. */
function decode(text: string): string | undefined {
  const bytes = Array.from(text, (character) =>
    character < "\u0080" ? character.charCodeAt(0) : byteOf.get(character),
  );
  if (bytes.includes(undefined)) return undefined;
  try {
    return strictUtf8.decode(Uint8Array.from(bytes as number[]));
  } catch {
    return undefined;
  }
}
