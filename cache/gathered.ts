/** Collects items that come within so many milliseconds, and hands them on together; each caller gets its own answer. */
export function gathered<T, R>(
  delay: number,
  work: (items: readonly T[]) => Promise<readonly R[]>,
): (item: T) => Promise<R> {
  let items: T[] = [];
  let coming: Promise<readonly R[]> | undefined;
  const collect = async (): Promise<readonly R[]> => {
    await new Promise((resolve) => setTimeout(resolve, delay));
    const batch = items;
    items = [];
    coming = undefined;
    return work(batch);
  };
  return async (item) => {
    const at = items.push(item) - 1;
    coming ??= collect();
    return (await coming)[at] as R;
  };
}
