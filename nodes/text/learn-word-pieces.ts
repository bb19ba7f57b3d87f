import { NodeError } from "../../engine/sdk.ts";
import { cleanWhitespace } from "./clean.ts";
import { countWords, PairCounts } from "./pair-counts.ts";
import { bertWords, marks } from "./wordpiece.ts";

/**
 * Learns a WordPiece vocabulary from captions in the way of Hugging Face's trainer: the marks, all characters, those
 * within words also with `##` before them, then the most frequent pair of neighbouring pieces, again and again.
 * Deterministic as `learnMerges` is.
 *
 * @param vocabSize wanted number of pieces; there are fewer where no pair occurs twice any more
 * @returns tokens by id
 * @throws NodeError where not even the characters fit in, or the captions hold no words
 */
export function learnWordPieces(captions: Iterable<string>, vocabSize: number): string[] {
  const words = countWords(wordsIn(captions), (word) =>
    [...word].map((character, at) => (at === 0 ? character : `##${character}`)),
  );
  if (words.length === 0)
    throw new NodeError("there are no words in the captions to learn a vocabulary from", {
      hint: "check the captions, or name a vocabulary file",
    });
  const characters = new Set(
    words.flatMap(({ symbols }) => symbols.flatMap((symbol) => [symbol, symbol.replace(/^##/, "")])),
  );
  const pieces = new Set<string>([...marks, ...[...characters].toSorted()]);
  if (pieces.size > vocabSize)
    throw new NodeError(
      `a vocabulary of ${vocabSize} pieces has no room for the ${pieces.size} marks and characters of the captions`,
      { hint: `ask for ${pieces.size} or more` },
    );
  const pairs = new PairCounts(words, (left, right) => left + right.slice("##".length));
  while (pieces.size < vocabSize) {
    const best = pairs.mostFrequent();
    if (best === undefined) break;
    pieces.add(pairs.merge(best));
  }
  return [...pieces];
}

function* wordsIn(captions: Iterable<string>): Generator<string> {
  for (const caption of captions) yield* bertWords(cleanWhitespace(caption));
}
