import { setImmediate } from "node:timers/promises";
import type { Json, RunContext } from "../engine/sdk.ts";

/** What an itemwise node does about its items. A unit is what is made and kept as one: an item, or a group of them. */
export interface ItemWork<U, V> {
  readonly units: readonly U[];
  /** All that the unit's result depends on, besides node type and version. */
  keyOf(unit: U): Json;
  /** How many units are made together, and kept before the next ones. */
  readonly atOnce: number;
  /**
   * Makes the results of at most `atOnce` units, in order.
   *
   * @param next the units whose turn comes after them, if nobody else makes them first
   */
  make(units: readonly U[], next: readonly U[]): Promise<readonly V[]>;
  /** For each kept result, whether what it names is still there. All are, unless told. */
  usable?(values: readonly V[]): Promise<readonly boolean[]>;
  /** Whether a result that was made is kept for the next time. All are, unless told. */
  lasting?(value: V): boolean;
  /** Called where more results are there than before. */
  onProgress?(results: ItemResults<V>): void;
}

/** What became of the items so far. */
export interface ItemResults<V> {
  /** By unit; those of other shards are absent. */
  readonly values: readonly (V | undefined)[];
  /** Units made here, and units whose results were in the memo. */
  readonly made: number;
  readonly kept: number;
  /** Number of units to do: all, or the shard's. */
  readonly total: number;
}

/** Units whose kept results are asked for in one question. */
const recalledAtOnce = 2_000;

/**
 * Makes what is missing of a step's items (of its share of them, in a shard) and keeps each group in the memo at once,
 * so that nobody pays twice: neither for another parameter that only adds items, nor for an interruption.
 *
 * Steps with common items may run at the same time: each begins at another place of its list and looks again before
 * each group, so that they share the work instead of doing the same side by side.
 */
export async function workThrough<U, V>(
  { memo, shard, signal }: Pick<RunContext, "memo" | "shard" | "signal">,
  work: ItemWork<U, V>,
): Promise<ItemResults<V>> {
  const { units, atOnce } = work;
  const values: (V | undefined)[] = units.map(() => undefined);
  // One in `count`, since what the memo has already lies at the front where a share was raised.
  const own = [...units.keys()].filter((index) => !shard || index % shard.count === shard.index);
  const count = { made: 0, kept: 0, total: own.length };
  const tell = (): void => work.onProgress?.({ values, ...count });
  const unitsAt = (indices: readonly number[]): readonly U[] => indices.map((index) => units[index] as U);
  const keyAt = (index: number): Json => work.keyOf(units[index] as U);

  /** Takes over what is kept of these units; returns the others. */
  const recall = async (indices: readonly number[]): Promise<readonly number[]> => {
    const found = (await memo.get(indices.map(keyAt))) as unknown as readonly (V | undefined)[];
    const known = indices.flatMap((index, i) => {
      const value = found[i];
      return value === undefined ? [] : [{ index, value }];
    });
    const usable = await work.usable?.(known.map(({ value }) => value));
    for (const [i, { index, value }] of known.entries()) if (usable?.[i] ?? true) values[index] = value;
    const missing = indices.filter((index) => values[index] === undefined);
    count.kept += indices.length - missing.length;
    return missing;
  };

  const open: number[] = [];
  for (let start = 0; start < own.length; start += recalledAtOnce) {
    signal.throwIfAborted();
    open.push(...(await recall(own.slice(start, start + recalledAtOnce))));
  }
  tell();
  open.push(...open.splice(0, Math.floor(Math.random() * open.length)));
  while (open.length > 0) {
    const group: number[] = [];
    // Places of what others have made meanwhile are filled up, so that groups stay whole.
    while (group.length < atOnce && open.length > 0) {
      signal.throwIfAborted();
      group.push(...(await recall(open.splice(0, atOnce - group.length))));
    }
    // Others may have made all that was left.
    const results = group.length > 0 ? await work.make(unitsAt(group), unitsAt(open.slice(0, atOnce))) : [];
    await memo.put(
      group.flatMap((index, i) => {
        const value = results[i] as V;
        return (work.lasting?.(value) ?? true)
          ? [{ key: keyAt(index), value: value as unknown as Json }]
          : [];
      }),
    );
    for (const [i, index] of group.entries()) values[index] = results[i] as V;
    count.made += group.length;
    tell();
    // Lets messages in between groups: cancelling has to be heard.
    await setImmediate();
  }
  return { values, ...count };
}

/** Says in the step's log, and in what is recorded with its result, how much of the work the memo spared. */
export function reportItems(
  { log, provenance, shard }: Pick<RunContext, "log" | "provenance" | "shard">,
  { made, kept }: Pick<ItemResults<unknown>, "made" | "kept">,
  { done, one, many }: { readonly done: string; readonly one: string; readonly many: string },
): void {
  const share = shard ? `share ${shard.index + 1} of ${shard.count}: ` : "";
  const spared = kept === 0 ? "" : `, ${kept} more came from the memo`;
  log(`${share}${done} ${made} ${made === 1 ? one : many}${spared}`);
  provenance({ items: { made, fromMemo: kept } });
}
