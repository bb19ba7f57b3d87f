import type { LackingResult } from "../model/events.ts";
import type { Key } from "../model/ids.ts";
import { lackOf } from "../model/lack.ts";
import type { PublishOptions } from "./results.ts";

/** The results of a run that lack some of their items, whether it made them or they were in the store; each once. */
export function lackingResults({ grid, planner, store, finished }: PublishOptions): readonly LackingResult[] {
  const told = new Set<Key>();
  return grid.steps.flatMap(({ id, index, nodeType, shard }): readonly LackingResult[] => {
    // Only items can be missing: nobody else's record is worth a look in a large grid.
    if (!nodeType.itemwise || shard || !finished(index)) return [];
    const key = planner.key(index);
    if (key === undefined || told.has(key)) return [];
    told.add(key);
    const result = store.result(key);
    const lack = result && lackOf(result.provenance);
    return lack ? [{ step: id, ...lack }] : [];
  });
}
