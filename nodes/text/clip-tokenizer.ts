import { byteAlphabet, endOfWord, wordPattern, wordSymbols } from "./byte-alphabet.ts";
import { cleanCaption } from "./clean.ts";
import { rowEncoder } from "./encode-rows.ts";

/** Turns captions into the token ids that CLIP's text encoder reads. */
export interface ClipTokenizer {
  readonly contextLength: number;
  /** Number of ids: 512 symbols, one per merge, and the two marks. */
  readonly vocabSize: number;
  /** Id of the start mark: vocabSize - 2. */
  readonly sot: number;
  /** Id of the end mark: vocabSize - 1, the greatest id, which is how CLIP finds the end. */
  readonly eot: number;
  /** Ids [contextLength]: start, text, end, zeros. A text that is too long loses its tail and keeps its end. */
  encode(text: string): Int32Array;
  /** Ids [texts, contextLength], row by row. */
  encodeBatch(texts: readonly string[]): Int32Array;
}

/** Words repeat, their number in a data set is bounded; past this many the oldest half is forgotten. */
const cachedWords = 100_000;

/**
 * CLIP's byte-level BPE as open_clip does it, cleaning included.
 *
 * @param options.merges `"left right"`, first to be merged first; see `readMerges` and `learnMerges`
 * @param options.contextLength ids per caption; 77 in CLIP
 */
export function createClipTokenizer(options: {
  readonly merges: readonly string[];
  readonly contextLength: number;
}): ClipTokenizer {
  const { merges, contextLength } = options;
  if (contextLength < 2)
    throw new Error(`internal error: context length ${contextLength} has no room for text`);
  const ids = new Map<string, number>();
  const add = (symbol: string): void => void ids.set(symbol, ids.size);
  for (const { character } of byteAlphabet) add(character);
  for (const { character } of byteAlphabet) add(character + endOfWord);
  // A merge may make a symbol that another one made before; the place in the list is the id all the same.
  merges.forEach((merge, rank) => ids.set(merge.replace(" ", ""), 512 + rank));
  const ranks = new Map(merges.map((merge, rank) => [merge, rank]));
  const sot = 512 + merges.length;
  const eot = sot + 1;
  const cache = new Map<string, readonly number[]>([
    ["<start_of_text>", [sot]],
    ["<end_of_text>", [eot]],
  ]);

  const wordIds = (word: string): readonly number[] => {
    const known = cache.get(word);
    if (known) return known;
    const found = mergeSymbols(wordSymbols(word), ranks).map((symbol) => ids.get(symbol) as number);
    if (cache.size >= cachedWords) forgetHalf(cache);
    cache.set(word, found);
    return found;
  };

  const encodeInto = (text: string, row: Int32Array): void => {
    row[0] = sot;
    let length = 1;
    for (const [word] of cleanCaption(text).matchAll(wordPattern)) {
      for (const id of wordIds(word)) {
        if (length === contextLength) break;
        row[length] = id;
        length += 1;
      }
      if (length === contextLength) break;
    }
    row[Math.min(length, contextLength - 1)] = eot;
  };

  return {
    contextLength,
    vocabSize: eot + 1,
    sot,
    eot,
    ...rowEncoder(contextLength, encodeInto),
  };
}

/** Merges neighbours, the pair of the lowest rank first and all its occurrences at once, until no pair has a rank. */
function mergeSymbols(symbols: string[], ranks: ReadonlyMap<string, number>): string[] {
  let word = symbols;
  while (word.length > 1) {
    let best = Infinity;
    for (let i = 0; i + 1 < word.length; i++)
      best = Math.min(best, ranks.get(`${word[i]} ${word[i + 1]}`) ?? Infinity);
    if (best === Infinity) break;
    const merged: string[] = [];
    for (let i = 0; i < word.length; i++) {
      const symbol = word[i] as string;
      const next = word[i + 1];
      if (next !== undefined && ranks.get(`${symbol} ${next}`) === best) {
        merged.push(symbol + next);
        i += 1;
      } else merged.push(symbol);
    }
    word = merged;
  }
  return word;
}

function forgetHalf(cache: Map<string, readonly number[]>): void {
  let left = cache.size / 2;
  for (const word of cache.keys()) {
    // The two marks were put in first and stay.
    if (word === "<start_of_text>" || word === "<end_of_text>") continue;
    if (left-- <= 0) break;
    cache.delete(word);
  }
}
