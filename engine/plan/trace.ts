import type { RosterEntry } from "../../cache/types.ts";
import type { Coordinates } from "../model/artifact.ts";
import type { Digest, Key, StepId } from "../model/ids.ts";
import type { StoredResult } from "../model/plan.ts";
import { closestTo, makersOf } from "./makers.ts";
import type { Maker, Makers } from "./makers.ts";
import { pointOf } from "./step-name.ts";

/** Of a thousand inputs that were made by a thousand steps each, every pair would be too much to tell. */
const alikeNamed = 8;

/** Stands for the name of a result that no step of the run had. */
export const unnamed = "" as StepId;

/** An artifact that a result was made from. */
export interface TracedInput {
  readonly port: string;
  /** Of an item of a collecting port. */
  readonly at?: Coordinates;
  readonly digest: Digest;
  /** The result that made it; absent where the store has none any more. */
  readonly from?: Key;
  /** The step whose result that was in the run, if it was one of its. */
  readonly step?: StepId;
  /** The first of the other steps of the run that made these bytes, by other work; absent where there is none. */
  readonly alike?: readonly StepId[];
}

/** An input as its fingerprint has it. */
export type ReadInput = Pick<TracedInput, "port" | "at" | "digest">;

/** A result on the way from an artifact to its sources. */
export interface TracedResult {
  readonly key: Key;
  /** Steps that had it in the run, the one that its readers mean first; empty where another run made it. */
  readonly steps: readonly StepId[];
  readonly result: StoredResult;
  readonly inputs: readonly TracedInput[];
}

/** Where results came from. */
export interface Trace {
  readonly roots: readonly Key[];
  /** Each once, and before what it was made from. */
  readonly results: readonly TracedResult[];
  /** Results that were not followed because they lie deeper than wanted. */
  readonly beyond: number;
}

export interface TraceOptions {
  readonly roots: readonly Maker[];
  /** The results of a run, among which inputs are looked for first. */
  readonly entries: readonly RosterEntry[];
  readonly result: (key: Key) => StoredResult | undefined;
  /** Keys of all results: inputs that no result of the run made are looked for there. */
  readonly keys: () => readonly Key[];
  /** How far from the roots results are followed. */
  readonly depth?: number | undefined;
  /** Which inputs of the roots are followed. Default: all. */
  readonly follows?: (input: ReadInput) => boolean;
}

/** Follows results up to what was made from nothing of the store, by the digests in their fingerprints. */
export function traceResults(options: TraceOptions): Trace {
  const { depth = Infinity, entries, follows = () => true, result, roots } = options;
  const makers = makersOf(entries, result);
  let others: Makers | undefined;
  const names = namesOf(entries);
  const traced = new Map<Key, TracedResult>();
  const beyond = new Set<Key>();

  /** The newest result of whatever run that was made before its reader. */
  const madeElsewhere = (digest: Digest, reader: StoredResult): Maker | undefined => {
    others ??= makersOf(
      options.keys().map((key) => [key as string as StepId, key] as const),
      result,
    );
    const finished = ({ key }: Maker): number => result(key)?.provenance.finishedAt ?? 0;
    const [newest] = others
      .of(digest)
      .filter((maker) => finished(maker) <= reader.provenance.finishedAt)
      .toSorted((a, b) => finished(b) - finished(a));
    return newest && { step: unnamed, key: newest.key };
  };

  const visit = ({ key, step }: Maker, distance: number): readonly Maker[] => {
    const found = result(key);
    if (!found || traced.has(key)) return [];
    const above: Maker[] = [];
    const inputs = inputsOf(found)
      .filter((input) => distance > 0 || follows(input))
      .map((input): TracedInput => {
        const made = makers.of(input.digest, step);
        const maker =
          closestTo({ ...pointOf(step), ...input.at }, made) ?? madeElsewhere(input.digest, found);
        if (!maker) return input;
        above.push(maker);
        const others = made.filter(({ key }) => key !== maker.key).slice(0, alikeNamed);
        return {
          ...input,
          from: maker.key,
          ...(maker.step !== unnamed && { step: maker.step }),
          ...(others.length > 0 && { alike: others.map((other) => other.step) }),
        };
      });
    const also = (names.get(key) ?? []).filter((name) => name !== step);
    const steps = step === unnamed ? also : [step, ...also];
    traced.set(key, { key, steps, result: found, inputs });
    return above;
  };

  let level: readonly Maker[] = roots;
  for (let distance = 0; level.length > 0; distance++) {
    const next: Maker[] = [];
    for (const maker of level) {
      if (distance <= depth) for (const above of visit(maker, distance)) next.push(above);
      else if (!traced.has(maker.key)) beyond.add(maker.key);
    }
    level = next;
  }
  const keys = [...new Set(roots.map(({ key }) => key))];
  return { roots: keys, results: readersFirst(keys, traced), beyond: beyond.size };
}

/** What a result was made from, port by port, in the order in which it was read. */
export function inputsOf({ fingerprint }: StoredResult): readonly ReadInput[] {
  return Object.entries(fingerprint.inputs).flatMap(([port, input]) =>
    typeof input === "string" ? [{ port, digest: input }] : input.map((item) => ({ port, ...item })),
  );
}

function namesOf(entries: readonly RosterEntry[]): ReadonlyMap<Key, readonly StepId[]> {
  const names = new Map<Key, StepId[]>();
  for (const [step, key] of entries) {
    const steps = names.get(key);
    if (steps) steps.push(step);
    else names.set(key, [step]);
  }
  return names;
}

/** Topological order by depth-first search, without recursion: a chain of steps may be long. */
function readersFirst(
  roots: readonly Key[],
  traced: ReadonlyMap<Key, TracedResult>,
): readonly TracedResult[] {
  const order: TracedResult[] = [];
  const seen = new Set<Key>();
  const stack = roots.map((key) => ({ key, left: false }));
  for (let top = stack.pop(); top; top = stack.pop()) {
    const found = traced.get(top.key);
    if (!found) continue;
    if (top.left) order.push(found);
    else if (!seen.has(top.key)) {
      seen.add(top.key);
      stack.push({ key: top.key, left: true });
      for (const { from } of found.inputs)
        if (from && !seen.has(from)) stack.push({ key: from, left: false });
    }
  }
  return order.toReversed();
}
