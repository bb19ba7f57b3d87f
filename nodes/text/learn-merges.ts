import { NodeError } from "../../engine/sdk.ts";
import { wordPattern, wordSymbols } from "./byte-alphabet.ts";
import { cleanCaption } from "./clean.ts";

/** Symbols and marks that every vocabulary has, before any merge. */
const smallest = 514;

interface Word {
  symbols: string[];
  readonly count: number;
}

/**
 * Learns a byte-level BPE (Sennrich et al. 2016) from captions, with CLIP's cleaning and words. Deterministic: it
 * depends on how often words occur, not on the order of the captions; equally frequent pairs go by code units.
 *
 * @param vocabSize wanted number of ids, at least 514; there are fewer where no pair occurs twice any more
 * @returns merges for `createClipTokenizer`
 * @throws NodeError where vocabSize is too small or the captions hold no words
 */
export function learnMerges(captions: Iterable<string>, vocabSize: number): string[] {
  if (vocabSize < smallest)
    throw new NodeError(
      `a vocabulary of ${vocabSize} ids has no room for the ${smallest - 2} symbols and two marks`,
      {
        hint: `ask for ${smallest} or more`,
      },
    );
  const words = countWords(captions);
  if (words.length === 0)
    throw new NodeError("there are no words in the captions to learn a vocabulary from", {
      hint: "check the captions, or name a vocabulary file",
    });
  const pairs = new Pairs(words);
  const merges: string[] = [];
  while (merges.length < vocabSize - smallest) {
    const best = pairs.mostFrequent();
    if (best === undefined) break;
    merges.push(best);
    pairs.merge(best);
  }
  return merges;
}

function countWords(captions: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const caption of captions)
    for (const [word] of cleanCaption(caption).matchAll(wordPattern))
      counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => ({ symbols: wordSymbols(word), count }));
}

/** How often neighbouring symbols occur, kept up to date word by word. */
class Pairs {
  readonly #counts = new Map<string, number>();
  readonly #words = new Map<string, Set<Word>>();

  constructor(words: readonly Word[]) {
    for (const word of words) this.#count(word, word.count);
  }

  /** The most frequent pair that occurs at least twice. */
  mostFrequent(): string | undefined {
    let best: string | undefined;
    let most = 1;
    for (const [pair, count] of this.#counts) {
      if (count < most || (count === most && (best === undefined || pair > best))) continue;
      best = pair;
      most = count;
    }
    return best;
  }

  merge(pair: string): void {
    const [left, right] = pair.split(" ") as [string, string];
    // A copy, since counting changes who holds the pair.
    for (const word of Array.from(this.#words.get(pair) ?? [])) {
      this.#count(word, -word.count);
      word.symbols = join(word.symbols, left, right);
      this.#count(word, word.count);
    }
  }

  #count(word: Word, times: number): void {
    for (let i = 0; i + 1 < word.symbols.length; i++) {
      const pair = `${word.symbols[i]} ${word.symbols[i + 1]}`;
      const count = (this.#counts.get(pair) ?? 0) + times;
      if (count === 0) this.#counts.delete(pair);
      else this.#counts.set(pair, count);
      const holders = this.#words.get(pair) ?? new Set();
      if (times > 0) holders.add(word);
      else holders.delete(word);
      this.#words.set(pair, holders);
    }
  }
}

function join(symbols: readonly string[], left: string, right: string): string[] {
  const joined: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    const symbol = symbols[i] as string;
    const pair = symbol === left && symbols[i + 1] === right;
    joined.push(pair ? left + right : symbol);
    if (pair) i += 1;
  }
  return joined;
}
