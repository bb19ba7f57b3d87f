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

/**
 * Repairs UTF-8 that was read as Windows-1252 or Latin-1: `schÃ¶n` is `schön`, `â€œxâ€\u009d` is `“x”`. Only
 * sequences that decode are touched, and the two-letter ones of Greek and Cyrillic only in a row, since a lone
 * `Ð±` could be meant. Text wrongly decoded several times takes several calls.
 */
export function fixMojibake(text: string): string {
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
    const sequence = length === undefined ? undefined : decode(text.slice(end, end + length), length);
    if (sequence === undefined || length === undefined) break;
    decoded += sequence;
    end += length;
    count += 1;
  }
  if (count === 0) return { end: start + 1 };
  const certain = count > 1 || certainLeads.includes(text[start] ?? "");
  return certain ? { end, decoded } : { end };
}

function decode(sequence: string, length: number): string | undefined {
  const bytes = Array.from(sequence, (character) => byteOf.get(character));
  if (bytes.length !== length || bytes.includes(undefined)) return undefined;
  try {
    return strictUtf8.decode(Uint8Array.from(bytes as number[]));
  } catch {
    return undefined;
  }
}
