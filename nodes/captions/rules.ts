import { randomStream, type Random } from "../random.ts";
import { lexicon, longestPhrase } from "./lexicon.ts";
import { captionWords, wordModificationRatio } from "./word-changes.ts";

/** How the rules are called in every output: they stand in for a language model where there is none. */
export const rulesLabel = "rules (offline stand-in, no language model)";

/** A place in a caption that the lexicon can change. */
interface Change {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * Rewrites a caption by a seeded lexicon: body parts become other body parts, words of side, size, change, severity,
 * finding and presence become their opposites; case and punctuation stay. As many changes are made, in seeded order,
 * as the greatest word-modification ratio allows. A caption without any such word is negated.
 *
 * @returns the rewrite, or undefined where even one change is too many
 */
export function rewriteByRules(
  caption: string,
  options: { readonly seed: number; readonly maxWmr: number },
): string | undefined {
  if (captionWords(caption).length === 0) return undefined;
  const random = randomStream(options.seed, "caption-rules", caption);
  const chosen: Change[] = [];
  for (const change of random.shuffle(possibleChanges(caption, random))) {
    if (wordModificationRatio(caption, apply(caption, [...chosen, change])) <= options.maxWmr)
      chosen.push(change);
  }
  const rewrite = chosen.length > 0 ? apply(caption, chosen) : negate(caption);
  return wordModificationRatio(caption, rewrite) <= options.maxWmr ? rewrite : undefined;
}

/** The lexicon's words and phrases in the caption, the longest first at each place, without overlaps. */
function possibleChanges(caption: string, random: Random): Change[] {
  const words = [...caption.matchAll(/\p{L}+(?:-\p{L}+)*/gu)];
  const changes: Change[] = [];
  for (let i = 0; i < words.length; i++) {
    for (let length = Math.min(longestPhrase, words.length - i); length > 0; length--) {
      const start = (words[i] as RegExpExecArray).index;
      const last = words[i + length - 1] as RegExpExecArray;
      const end = last.index + last[0].length;
      const found = caption.slice(start, end);
      const others = lexicon.get(found.toLowerCase());
      if (!others) continue;
      changes.push({ start, end, text: likeCase(found, random.pick(others)) });
      i += length - 1;
      break;
    }
  }
  return changes;
}

function apply(caption: string, changes: readonly Change[]): string {
  let result = caption;
  // From the end on, so that the places of the others stay right.
  for (const { start, end, text } of changes.toSorted((a, b) => b.start - a.start))
    result = result.slice(0, start) + text + result.slice(end);
  return result;
}

function likeCase(model: string, text: string): string {
  if (model.length > 1 && model === model.toUpperCase()) return text.toUpperCase();
  const first = model[0] ?? "";
  return first === first.toUpperCase() ? capitalised(text) : text;
}

function negate(caption: string): string {
  const first = captionWords(caption).find((word) => /\p{L}/u.test(word));
  if (first === undefined) return caption;
  // Abbreviations such as CT and X-ray keep their capitals.
  const lowered = /^\p{Lu}\p{Ll}+$/u.test(first) ? first.toLowerCase() : first;
  return caption.replace(first, () => `No ${lowered}`);
}

function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
