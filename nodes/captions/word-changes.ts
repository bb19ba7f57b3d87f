/** The words of a caption, as white space separates them. */
export function captionWords(caption: string): string[] {
  return caption.split(/\s+/).filter((word) => word !== "");
}

/**
 * Word-modification ratio: Levenshtein distance between the word lists over the number of original words
 * (PromptAttack). 0 where nothing changed; may exceed 1 where words were added. Infinity from an empty caption.
 */
export function wordModificationRatio(original: string, rewrite: string): number {
  const from = captionWords(original);
  const to = captionWords(rewrite);
  const distance = distances(from, to)[from.length]?.[to.length] as number;
  return distance === 0 ? 0 : distance / from.length;
}

/** A word of a caption, and whether the other caption has it at that place. */
export interface MarkedWord {
  readonly text: string;
  readonly changed: boolean;
}

/** The words of both captions, marked along a shortest way from one to the other. */
export function markChanges(
  original: string,
  rewrite: string,
): { readonly before: readonly MarkedWord[]; readonly after: readonly MarkedWord[] } {
  const from = captionWords(original);
  const to = captionWords(rewrite);
  const table = distances(from, to);
  const at = (row: number, column: number): number => table[row]?.[column] ?? Infinity;
  const before: MarkedWord[] = [];
  const after: MarkedWord[] = [];
  let row = from.length;
  let column = to.length;
  while (row > 0 || column > 0) {
    const same = row > 0 && column > 0 && from[row - 1] === to[column - 1];
    const step = at(row, column) - (same ? 0 : 1);
    const both = at(row - 1, column - 1) === step;
    const removed = both || (!same && at(row - 1, column) === step);
    if (removed) before.push({ text: from[--row] as string, changed: !same });
    if (both || !removed) after.push({ text: to[--column] as string, changed: !same });
  }
  return { before: before.toReversed(), after: after.toReversed() };
}

/** Levenshtein distances of all beginnings: entry [i][j] from the first i words to the first j. */
function distances(from: readonly string[], to: readonly string[]): readonly (readonly number[])[] {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  for (const [index, word] of from.entries()) {
    const row = rows[index] as number[];
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++) {
      const replaced = (row[column - 1] as number) + (word === to[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[column] as number) + 1, (next[column - 1] as number) + 1));
    }
    rows.push(next);
  }
  return rows;
}
