import type { Pointer, Store } from "../../cache/types.ts";
import type { Fingerprint } from "../model/fingerprint.ts";
import type { Grid, Step } from "../model/grid.ts";
import type { Json } from "../model/json.ts";
import type { FieldChange } from "../model/plan.ts";
import { fieldChanges, inputField } from "./changes.ts";
import type { ReadExternalList } from "./changes.ts";

/** A change is followed this many steps up; what lies further is for `explain` on the step itself. */
const deepest = 12;
/** Changed items of one collecting port that are named; the rest is counted. */
const itemsNamed = 12;

/** Why steps changed: their fingerprints against those of their last results, followed upstream. */
export interface Lineage {
  /** Changes since the step's last result; undefined where there is none, or its fingerprint is not known. */
  changes(step: number): readonly FieldChange[] | undefined;
  /** The step was decided anew: what was computed for it no longer holds. */
  forget(step: number): void;
}

export function createLineage(parts: {
  readonly grid: Grid;
  readonly store: Store;
  readonly fingerprint: (step: number) => Fingerprint | undefined;
  /** The last result before this run. */
  readonly before: (step: number) => Pointer | undefined;
  readonly readList: ReadExternalList;
  /** Follows a change only into an upstream result that gave what the step read then. Otherwise into the last one. */
  readonly exact?: boolean;
}): Lineage {
  const { grid, store, fingerprint, before, readList, exact = false } = parts;
  const kept = new Map<number, readonly FieldChange[] | undefined>();

  const changes = (index: number, depth: number): readonly FieldChange[] | undefined => {
    if (kept.has(index)) return kept.get(index);
    const pointer = before(index);
    const old = pointer && store.result(pointer.key)?.fingerprint;
    const now = old && fingerprint(index);
    const found = old && now && traced(index, fieldChanges(old, now, readList), depth);
    // An answer cut short by its depth is not the answer to a direct question.
    if (depth === 0) kept.set(index, found);
    return found;
  };

  const traced = (index: number, found: readonly FieldChange[], depth: number): readonly FieldChange[] => {
    const step = grid.steps[index] as Step;
    const sources = sourcesOf(step);
    return shortened(found).map((change) => {
      const source = sources.get(change.field);
      if (source === undefined || depth >= deepest) return change;
      if (exact && !gave(before(source), change.before)) return change;
      const upstream = changes(source, depth + 1);
      if (upstream === undefined) return change;
      return { ...change, because: { step: (grid.steps[source] as Step).id, changes: upstream } };
    });
  };

  const gave = (pointer: Pointer | undefined, digest: Json | undefined): boolean => {
    const result = pointer && store.result(pointer.key);
    return result !== undefined && Object.values(result.outputs).some((output) => output.digest === digest);
  };

  return { changes: (index) => changes(index, 0), forget: (index) => void kept.delete(index) };
}

/** The upstream step behind each input field that a change can name. */
function sourcesOf(step: Step): ReadonlyMap<string, number> {
  const sources = new Map<string, number>();
  for (const name of step.reads) {
    const input = step.inputs[name];
    if (input?.kind === "one") sources.set(inputField(name), input.step);
    for (const { at, step: from } of input?.kind === "many" ? input.items : []) {
      const field = inputField(name, at);
      let unique = field;
      for (let n = 2; sources.has(unique); n++) unique = `${field}#${n}`;
      sources.set(unique, from);
    }
  }
  return sources;
}

/** Names the first changed items of each collecting port and counts the others. */
export function shortened<C extends FieldChange>(found: readonly C[]): readonly (C | FieldChange)[] {
  const counts = new Map<string, number>();
  const named = found.filter(({ field }) => {
    const port = /^inputs\.([^[]+)\[/.exec(field)?.[1];
    if (port === undefined) return true;
    const count = (counts.get(port) ?? 0) + 1;
    counts.set(port, count);
    return count <= itemsNamed;
  });
  const rests = [...counts]
    .filter(([, count]) => count > itemsNamed)
    .map(([port, count]) => ({
      field: `inputs.${port}`,
      after: `${count - itemsNamed} more inputs changed`,
    }));
  return [...named, ...rests];
}
