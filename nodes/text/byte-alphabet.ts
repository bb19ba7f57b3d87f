/**
 * The 256 bytes as printable characters, in the order of GPT-2's and CLIP's vocabularies: the visible Latin-1
 * characters stand for themselves, the others get the code points from U+0100 on.
 */
export const byteAlphabet: readonly { readonly byte: number; readonly character: string }[] = alphabet();

function alphabet(): { byte: number; character: string }[] {
  const isVisible = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const visible = bytes.filter(isVisible).map((byte) => ({ byte, character: String.fromCodePoint(byte) }));
  const others = bytes
    .filter((byte) => !isVisible(byte))
    .map((byte, index) => ({ byte, character: String.fromCodePoint(0x100 + index) }));
  return [...visible, ...others];
}

const characters: string[] = [];
for (const { byte, character } of byteAlphabet) characters[byte] = character;

/** A word as symbols of the alphabet, one per UTF-8 byte, the last marked as the end of the word. */
export function wordSymbols(word: string): string[] {
  const symbols = Array.from(Buffer.from(word, "utf8"), (byte) => characters[byte] as string);
  symbols[symbols.length - 1] += endOfWord;
  return symbols;
}

/** Marks the symbol that ends a word. */
export const endOfWord = "</w>";

/** CLIP's words: contractions, runs of letters, single digits, runs of other characters. */
export const wordPattern =
  /<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/giu;
