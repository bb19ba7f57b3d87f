/**
 * A persistent array: `set` copies one chunk and the spine, never the whole. With 100,000 entries that is 256 + 391
 * pointers per change, so that a pure reducer over a large grid stays fast and old states stay valid.
 */
export interface Chunked<T> {
  readonly length: number;
  readonly chunks: readonly (readonly T[])[];
}

const chunkSize = 256;

/** A chunked copy of `items`. */
export function chunked<T>(items: readonly T[]): Chunked<T> {
  const chunks: (readonly T[])[] = [];
  for (let start = 0; start < items.length; start += chunkSize)
    chunks.push(items.slice(start, start + chunkSize));
  return { length: items.length, chunks };
}

/** The entry at `index`; undefined outside. */
export function get<T>(list: Chunked<T>, index: number): T | undefined {
  return list.chunks[Math.floor(index / chunkSize)]?.[index % chunkSize];
}

/** The list with other entries at some existing indices: each chunk is copied once, however many of its entries change. */
export function setAll<T>(
  list: Chunked<T>,
  entries: Iterable<readonly [index: number, item: T]>,
): Chunked<T> {
  const chunks = list.chunks.slice();
  const copied = new Map<number, T[]>();
  for (const [index, item] of entries) {
    const which = Math.floor(index / chunkSize);
    let chunk = copied.get(which);
    if (!chunk) {
      chunk = [...(chunks[which] ?? [])];
      copied.set(which, chunk);
      chunks[which] = chunk;
    }
    if (index % chunkSize < chunk.length) chunk[index % chunkSize] = item;
  }
  return { length: list.length, chunks };
}

/** The list with another entry at an existing `index`; the list itself where there is none. */
export function set<T>(list: Chunked<T>, index: number, item: T): Chunked<T> {
  const which = Math.floor(index / chunkSize);
  const chunk = list.chunks[which];
  if (!chunk || index % chunkSize >= chunk.length) return list;
  const changed = chunk.slice();
  changed[index % chunkSize] = item;
  const chunks = list.chunks.slice();
  chunks[which] = changed;
  return { length: list.length, chunks };
}
