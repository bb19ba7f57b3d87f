/** A word of the captions, in symbols that merges put together. */
export interface CountedWord {
  symbols: string[];
  /** How often it occurs. */
  readonly count: number;
}

/** How often neighbouring symbols of words occur, kept up to date merge by merge. */
export class PairCounts {
  readonly #counts = new Map<string, number>();
  readonly #words = new Map<string, Set<CountedWord>>();
  readonly #glue: (left: string, right: string) => string;

  /** @param glue the symbol that two neighbours become */
  constructor(words: readonly CountedWord[], glue: (left: string, right: string) => string) {
    this.#glue = glue;
    for (const word of words) this.#count(word, word.count);
  }

  /** The most frequent pair, `left right`, that occurs at least twice; equally frequent ones go by code units. */
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

  /** Puts a pair together in all words. Returns what it becomes. */
  merge(pair: string): string {
    const [left, right] = pair.split(" ") as [string, string];
    const glued = this.#glue(left, right);
    // A copy, since counting changes who holds the pair.
    for (const word of Array.from(this.#words.get(pair) ?? [])) {
      this.#count(word, -word.count);
      word.symbols = joined(word.symbols, { left, right, glued });
      this.#count(word, word.count);
    }
    return glued;
  }

  #count(word: CountedWord, times: number): void {
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

function joined(
  symbols: readonly string[],
  { left, right, glued }: { readonly left: string; readonly right: string; readonly glued: string },
): string[] {
  const result: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    const symbol = symbols[i] as string;
    const isPair = symbol === left && symbols[i + 1] === right;
    result.push(isPair ? glued : symbol);
    if (isPair) i += 1;
  }
  return result;
}

/** Words with how often each occurs. */
export function countWords(
  words: Iterable<string>,
  symbolsOf: (word: string) => string[],
): readonly CountedWord[] {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => ({ symbols: symbolsOf(word), count }));
}
