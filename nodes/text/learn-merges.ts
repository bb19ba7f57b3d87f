import { NodeError } from "../../engine/sdk.ts";
import { wordPattern, wordSymbols } from "./byte-alphabet.ts";
import { cleanCaption } from "./clean.ts";
import { countWords, PairCounts } from "./pair-counts.ts";

/** Symbols and marks that every vocabulary has, before any merge. */
const smallest = 514;

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
  const words = countWords(wordsIn(captions), wordSymbols);
  if (words.length === 0)
    throw new NodeError("there are no words in the captions to learn a vocabulary from", {
      hint: "check the captions, or name a vocabulary file",
    });
  const pairs = new PairCounts(words, (left, right) => left + right);
  const merges: string[] = [];
  while (merges.length < vocabSize - smallest) {
    const best = pairs.mostFrequent();
    if (best === undefined) break;
    merges.push(best);
    pairs.merge(best);
  }
  return merges;
}

function* wordsIn(captions: Iterable<string>): Generator<string> {
  for (const caption of captions)
    for (const [word] of cleanCaption(caption).matchAll(wordPattern)) yield word;
}
