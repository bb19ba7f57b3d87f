/** The first item of each key, and for each item the row of its key. */
export function distinct<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
): { readonly items: readonly T[]; readonly rows: readonly number[] } {
  const known = new Map<string, number>();
  const firsts: T[] = [];
  const rows = items.map((item) => {
    const key = keyOf(item);
    const row = known.get(key) ?? firsts.push(item) - 1;
    known.set(key, row);
    return row;
  });
  return { items: firsts, rows };
}
