import { rowEncoder } from "./encode-rows.ts";
import { cleanWhitespace } from "./clean.ts";

/** Turns captions into the token ids that BERT reads. */
export interface WordPieceTokenizer {
  readonly contextLength: number;
  /** Number of ids. */
  readonly vocabSize: number;
  /** Id that fills up a row; the places that hold it are masked. */
  readonly pad: number;
  readonly cls: number;
  readonly sep: number;
  /** Ids [contextLength]: `[CLS]`, text, `[SEP]`, padding. A text that is too long loses its tail and keeps its end. */
  encode(text: string): Int32Array;
  /** Ids [texts, contextLength], row by row. */
  encodeBatch(texts: readonly string[]): Int32Array;
}

/** The marks of BERT: written out in a text they stand for themselves. */
export const marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] as const;
const markPattern = /(\[(?:PAD|UNK|CLS|SEP|MASK)\])/;

/** A longer word is unknown as a whole. */
const longestWord = 100;

const controls = /[\0\ufffd]|(?![\t\n\r])\p{C}/gu;
const ideographs =
  /[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2ebef}\u{2f800}-\u{2fa1f}]/gu;
/** ASCII's symbols count as punctuation, too. */
const words = /[\p{P}$+<=>^`|~]|[^\s\p{P}$+<=>^`|~]+/gu;

/**
 * BERT's WordPiece, uncased, as Hugging Face's tokenizers do it. Written for this program since the package at hand
 * lower-cases whole texts, where BERT goes by the character (a final sigma differs), and does not know marks in a text.
 *
 * @param options.vocabulary tokens by id; see `readWordPieceVocabulary`
 * @param options.contextLength ids per caption: 256 for BiomedCLIP, 77 for PMC-CLIP
 * @param options.clean clean captions first as open_clip does for BiomedCLIP (the default); PMC-CLIP takes them raw
 */
export function createWordPieceTokenizer(options: {
  readonly vocabulary: readonly string[];
  readonly contextLength: number;
  readonly clean?: boolean;
}): WordPieceTokenizer {
  const { vocabulary, contextLength, clean = true } = options;
  if (contextLength < 2)
    throw new Error(`internal error: context length ${contextLength} has no room for text`);
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  const [pad, unknown, cls, sep] = marks.map((mark) => {
    const id = ids.get(mark);
    if (id === undefined) throw new Error(`internal error: a vocabulary without ${mark}`);
    return id;
  }) as [number, number, number, number, number];

  const encodeInto = (text: string, row: Int32Array): void => {
    row.fill(pad);
    row[0] = cls;
    let length = 1;
    for (const part of (clean ? cleanWhitespace(text) : text).split(markPattern)) {
      const mark = markPattern.test(part) ? ids.get(part) : undefined;
      const found =
        mark === undefined ? bertWords(part).flatMap((word) => pieces(word, ids, unknown)) : [mark];
      for (const id of found) {
        if (length === contextLength) break;
        row[length] = id;
        length += 1;
      }
    }
    row[Math.min(length, contextLength - 1)] = sep;
  };

  return {
    contextLength,
    vocabSize: vocabulary.length,
    pad,
    cls,
    sep,
    ...rowEncoder(contextLength, encodeInto),
  };
}

/** The words and signs of a text, normalised: what is cut into pieces. */
export function bertWords(text: string): readonly string[] {
  return normalise(text).match(words) ?? [];
}

/** Without control characters and accents, in lower case character by character, ideographs set apart. */
function normalise(text: string): string {
  const plain = text
    .replace(controls, "")
    .replace(ideographs, " $& ")
    .normalize("NFD")
    .replace(/\p{Mn}/gu, "");
  return Array.from(plain, (character) => character.toLowerCase()).join("");
}

/** The longest pieces of the vocabulary from left to right, or the unknown id where they do not cover the word. */
function pieces(word: string, ids: ReadonlyMap<string, number>, unknown: number): readonly number[] {
  const characters = [...word];
  if (characters.length > longestWord) return [unknown];
  const found: number[] = [];
  for (let start = 0; start < characters.length;) {
    let end = characters.length;
    let id: number | undefined;
    for (; end > start; end--) {
      id = ids.get((start > 0 ? "##" : "") + characters.slice(start, end).join(""));
      if (id !== undefined) break;
    }
    if (id === undefined) return [unknown];
    found.push(id);
    start = end;
  }
  return found;
}
