import type { RosterEntry } from "../../cache/types.ts";
import type { Digest, Key, StepId } from "../model/ids.ts";
import type { Json } from "../model/json.ts";
import type { FieldChange, StoredResult } from "../model/plan.ts";
import { fieldChanges } from "./changes.ts";
import type { ReadExternalList } from "./changes.ts";
import { shortened } from "./lineage.ts";
import { closestTo, makersOf } from "./makers.ts";
import type { Maker, Makers } from "./makers.ts";
import { nodeOf, pointOf } from "./step-name.ts";

/** A field in which a step's two fingerprints differ. For an input: the steps that made what was read. */
export interface StepChange extends Omit<FieldChange, "because"> {
  readonly from?: { readonly before?: StepId; readonly after?: StepId };
}

/**
 * Where a change began: a field of a step's own. `outputs`: the step gave other bytes for the same inputs and
 * parameters; an input: it is read from another step, or what was read is not known any more.
 */
export interface Cause {
  readonly node: string;
  /** One of the node's steps with this cause. */
  readonly step: StepId;
  readonly field: string;
  readonly before?: Json;
  readonly after?: Json;
}

/** A step that is not the same in both runs. */
export type StepDifference =
  | {
      readonly kind: "changed";
      readonly step: StepId;
      readonly before: Key;
      readonly after: Key;
      readonly changes: readonly StepChange[];
      readonly causes: readonly Cause[];
    }
  /** The keys differ, and a result that could say why was removed by gc. */
  | { readonly kind: "lost"; readonly step: StepId; readonly before: Key; readonly after: Key }
  /** The same result under another name. */
  | { readonly kind: "renamed"; readonly step: StepId; readonly was: StepId; readonly key: Key }
  | { readonly kind: "only-before" | "only-after"; readonly step: StepId; readonly key: Key };

export interface RunDifference {
  readonly counts: Readonly<Record<StepDifference["kind"] | "same", number>>;
  /** Steps of each node, in either run. */
  readonly nodes: ReadonlyMap<string, number>;
  /** In the order of the second run, then those that only the first had. */
  readonly steps: readonly StepDifference[];
}

/** What a collecting port had before or after, and not on the other side. */
export const moreItems = "more items";

/** Causes that a step's list holds; a table of a grid in which everything changed differently would name thousands. */
const causesKept = 24;

/**
 * What changed between two runs, step by step, from the fingerprints that their keys are the hashes of. An input that
 * changed is followed to the step that made it, in either run, down to the fields that began it.
 */
export function compareRuns(
  before: readonly RosterEntry[],
  after: readonly RosterEntry[],
  store: {
    readonly result: (key: Key) => StoredResult | undefined;
    readonly readList: ReadExternalList;
  },
): RunDifference {
  const [old, now] = [new Map(before), new Map(after)];
  const compare = createComparison({
    old,
    oldMakers: makersOf(before, store.result),
    nowMakers: makersOf(after, store.result),
    ...store,
  });
  // Several steps may do the same work: each name that is gone is one that a new name may have come from.
  const gone = new Map<Key, StepId[]>();
  for (const [step, key] of before) if (!now.has(step)) addTo(gone, key, step);
  const renamed = new Set<StepId>();

  const steps: StepDifference[] = [];
  for (const [step, key] of now) {
    const was = old.get(step);
    if (was === key) continue;
    if (was !== undefined) {
      steps.push(compare.changed(step, was, key) ?? { kind: "lost", step, before: was, after: key });
      continue;
    }
    const former = gone.get(key)?.shift();
    if (former !== undefined) renamed.add(former);
    steps.push(
      former === undefined ? { kind: "only-after", step, key } : { kind: "renamed", step, was: former, key },
    );
  }
  for (const [step, key] of old)
    if (!now.has(step) && !renamed.has(step)) steps.push({ kind: "only-before", step, key });

  const counts = { same: 0, changed: 0, lost: 0, renamed: 0, "only-before": 0, "only-after": 0 };
  for (const { kind } of steps) counts[kind]++;
  counts.same = now.size - counts.changed - counts.lost - counts.renamed - counts["only-after"];
  const nodes = new Map<string, number>();
  for (const step of new Set([...now.keys(), ...old.keys()]))
    nodes.set(nodeOf(step), (nodes.get(nodeOf(step)) ?? 0) + 1);
  return { counts, nodes, steps };
}

interface Comparison {
  /** Undefined where one of the results is gone. */
  changed(step: StepId, before: Key, after: Key): Extract<StepDifference, { kind: "changed" }> | undefined;
}

function createComparison(parts: {
  readonly old: ReadonlyMap<StepId, Key>;
  readonly oldMakers: Makers;
  readonly nowMakers: Makers;
  readonly result: (key: Key) => StoredResult | undefined;
  readonly readList: ReadExternalList;
}): Comparison {
  const { old, oldMakers, nowMakers, readList, result } = parts;
  const causesOf = new Map<string, readonly Cause[]>();

  /** The steps that made what a step read before and reads now: one step, where one made both. */
  const sourcesOf = (reader: StepId, change: FieldChange): { before?: Maker; after?: Maker } => {
    const [was, is] = [change.before, change.after].map(asDigest);
    const [oldOnes, nowOnes] = [was ? oldMakers.of(was, reader) : [], is ? nowMakers.of(is, reader) : []];
    const names = new Set(oldOnes.map(({ step }) => step));
    const point = { ...pointOf(reader), ...pointOf(change.field) };
    const both = closestTo(
      point,
      nowOnes.filter(({ step }) => names.has(step)),
    );
    const after = both ?? closestTo(point, nowOnes);
    const before = both
      ? oldOnes.find(({ step }) => step === both.step)
      : (closestTo(point, oldOnes) ?? (was && after && replaced(after)));
    return { ...(before && { before }), ...(after && { after }) };
  };

  /** The maker of what was read before, where its result gave way to one with other bytes. */
  const replaced = ({ step, key }: Maker): Maker | undefined =>
    old.get(step) === key ? { step, key } : undefined;

  const traced = (
    step: StepId,
    found: readonly FieldChange[],
  ): { changes: readonly StepChange[]; causes: readonly Cause[] } => {
    const causes = new Map<string, Cause>();
    const add = (cause: Cause): void => {
      const name = JSON.stringify([cause.node, cause.field, cause.before, cause.after]);
      if (causes.size < causesKept && !causes.has(name)) causes.set(name, cause);
    };
    const changes = found.map((change): StepChange => {
      const sources = change.field.startsWith("inputs.") ? sourcesOf(step, change) : {};
      const { after, before } = sources;
      if (after && before && after.step === before.step) {
        for (const cause of causesOfMaker(before, after)) add(cause);
      } else {
        add(ownCause(step, change, sources));
      }
      if (!after && !before) return change;
      return {
        ...change,
        from: { ...(before && { before: before.step }), ...(after && { after: after.step }) },
      };
    });
    return { changes, causes: [...causes.values()] };
  };

  const causesOfMaker = (before: Maker, after: Maker): readonly Cause[] => {
    const { step } = after;
    if (before.key === after.key) return [{ node: nodeOf(step), step, field: "outputs" }];
    const known = causesOf.get(after.step);
    if (known) return known;
    const [was, is] = [result(before.key), result(after.key)];
    const causes =
      was && is ? traced(step, fieldChanges(was.fingerprint, is.fingerprint, readList)).causes : [];
    causesOf.set(step, causes);
    return causes;
  };

  return {
    changed: (step, before, after) => {
      const [was, is] = [result(before), result(after)];
      if (!was || !is) return undefined;
      const { causes, changes } = traced(step, fieldChanges(was.fingerprint, is.fingerprint, readList));
      causesOf.set(step, causes);
      return { kind: "changed", step, before, after, changes: shortened(changes), causes };
    },
  };
}

/** A change that begins at the step itself. Items of a collecting port that came or went are one change of the port. */
function ownCause(
  step: StepId,
  { after, before, field }: FieldChange,
  sources: { readonly before?: Maker; readonly after?: Maker },
): Cause {
  const port = /^(inputs\.[^[]+)\[/.exec(field)?.[1];
  const cause = { node: nodeOf(step), step, field: port ?? field };
  if (port !== undefined && before === undefined) return { ...cause, after: moreItems };
  if (port !== undefined && after === undefined) return { ...cause, before: moreItems };
  const [old, now] = readFrom(sources) ?? [before, after];
  return { ...cause, ...(old !== undefined && { before: old }), ...(now !== undefined && { after: now }) };
}

/** The nodes that are read instead of each other; the steps, where these are of one node. */
function readFrom({
  after,
  before,
}: {
  readonly before?: Maker;
  readonly after?: Maker;
}): readonly [before: string, after: string] | undefined {
  if (!before || !after) return undefined;
  const nodes = [nodeOf(before.step), nodeOf(after.step)] as const;
  return nodes[0] === nodes[1] ? [before.step, after.step] : nodes;
}

function asDigest(value: Json | undefined): Digest | undefined {
  return typeof value === "string" ? (value as Digest) : undefined;
}

function addTo<K, V>(lists: Map<K, V[]>, name: K, value: V): void {
  const list = lists.get(name);
  if (list) list.push(value);
  else lists.set(name, [value]);
}
