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
  const distance = levenshtein(from, to);
  return distance === 0 ? 0 : distance / from.length;
}

function levenshtein(from: readonly string[], to: readonly string[]): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const [index, word] of from.entries()) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++) {
      const replaced = (row[column - 1] as number) + (word === to[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[column] as number) + 1, (next[column - 1] as number) + 1));
    }
    row = next;
  }
  return row[to.length] as number;
}
