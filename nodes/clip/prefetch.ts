/**
 * Loads items in order while the consumer works on earlier ones.
 *
 * @param ahead how many loads may be under way besides the item in use
 */
export async function* prefetch<T, R>(
  items: Iterable<T>,
  load: (item: T) => Promise<R>,
  ahead = 2,
): AsyncGenerator<{ readonly item: T; readonly loaded: R }> {
  const waiting: { readonly item: T; readonly loaded: Promise<R> }[] = [];
  const iterator = items[Symbol.iterator]();
  const start = (): boolean => {
    const next = iterator.next();
    if (next.done === true) return false;
    const loaded = load(next.value);
    // A failure is met when its turn comes; until then it must not count as unhandled.
    loaded.catch(() => undefined);
    waiting.push({ item: next.value, loaded });
    return true;
  };
  while (waiting.length <= ahead && start());
  for (let current = waiting.shift(); current; current = waiting.shift()) {
    const loaded = await current.loaded;
    start();
    yield { item: current.item, loaded };
  }
}

/** Consecutive runs of at most `size` items. */
export function inBatches<T>(items: readonly T[], size: number): T[][] {
  const batches: T[][] = [];
  for (let start = 0; start < items.length; start += size) batches.push(items.slice(start, start + size));
  return batches;
}
