/** The candidate that a misspelt name most probably means; undefined where none is near. */
export function similar(name: string, candidates: Iterable<string>): string | undefined {
  // Between numbers, near is no sign of a slip.
  if (!/[^\d.]/.test(name)) return undefined;
  const wanted = fold(name);
  // A third of the letters may differ, and two of a short name: `epohcs` is `epochs`, `x` is not `y`.
  const budget = Math.max(wanted.length > 2 ? 2 : 1, Math.floor(wanted.length / 3));
  let best: string | undefined;
  let least = budget + 1;
  for (const candidate of candidates) {
    const folded = fold(candidate);
    if (Math.abs(folded.length - wanted.length) >= least) continue;
    const distance = levenshtein(wanted, folded);
    if (distance < least && distance < Math.min(wanted.length, folded.length)) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** `did you mean X?` where something is near, else the list of what there is, if that is short. */
export function suggest(name: string, candidates: Iterable<string>, what: string): string | undefined {
  const all = [...candidates];
  const meant = similar(name, all);
  if (meant !== undefined) return `did you mean \`${meant}\`?`;
  if (all.length === 0) return undefined;
  const shown = all.slice(0, 12).map((candidate) => `\`${candidate}\``);
  return `${what}: ${shown.join(", ")}${all.length > 12 ? `, and ${all.length - 12} more` : ""}`;
}

// Case and the choice of separator are the commonest slips, and cost nothing here.
function fold(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, "");
}

/** Levenshtein distance: the fewest letters to insert, delete or replace. */
export function levenshtein(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
