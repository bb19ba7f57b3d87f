import type { RosterEntry } from "../../cache/types.ts";
import type { Digest, Key, StepId } from "../model/ids.ts";
import type { StoredResult } from "../model/plan.ts";
import { nodeOf, pointOf } from "./step-name.ts";

/** A step of a run, and the result it had. */
export interface Maker {
  readonly step: StepId;
  readonly key: Key;
}

/** Which steps of a run made which artifacts. */
export interface Makers {
  /**
   * Steps whose result has these bytes among its outputs, in the run's order; not all, where they are very many. With
   * a reader, only those that come before it and are of another node: others may have made the same bytes, for instance
   * from what it read, and are not where it had them from.
   */
  of(digest: Digest, reader?: StepId): readonly Maker[];
}

/** Of more steps that made the same bytes than these, the first are as good as any. */
const compared = 64;

/** Reads every result of the roster, once, when first asked. Rosters are in topological order. */
export function makersOf(
  entries: Iterable<RosterEntry>,
  result: (key: Key) => StoredResult | undefined,
): Makers {
  let made: Made | undefined;
  return {
    of: (digest, reader) => {
      made ??= read(entries, result);
      const makers = made.byDigest.get(digest) ?? [];
      const end = (reader === undefined ? undefined : made.places.get(reader)) ?? Infinity;
      const own = reader === undefined ? undefined : nodeOf(reader);
      const found: Maker[] = [];
      for (const { key, place, step } of makers) {
        if (place >= end || found.length >= compared) break;
        if (own === undefined || nodeOf(step) !== own) found.push({ step, key });
      }
      return found;
    },
  };
}

interface Made {
  readonly byDigest: ReadonlyMap<string, readonly (Maker & { readonly place: number })[]>;
  readonly places: ReadonlyMap<StepId, number>;
}

function read(entries: Iterable<RosterEntry>, result: (key: Key) => StoredResult | undefined): Made {
  const byDigest = new Map<string, (Maker & { readonly place: number })[]>();
  const places = new Map<StepId, number>();
  for (const [step, key] of entries) {
    const place = places.size;
    places.set(step, place);
    const digests = Object.values(result(key)?.outputs ?? {}).map(({ digest }) => digest);
    for (const digest of new Set(digests)) {
      const makers = byDigest.get(digest);
      if (makers) makers.push({ step, key, place });
      else byDigest.set(digest, [{ step, key, place }]);
    }
  }
  return { byDigest, places };
}

/**
 * The step that is most likely meant, of those that made the same bytes: the one that agrees with most of a point.
 *
 * @param point axis -> label, of who reads the bytes
 */
export function closestTo(
  point: Readonly<Record<string, unknown>>,
  makers: readonly Maker[],
): Maker | undefined {
  const [first] = makers;
  if (makers.length < 2) return first;
  const wanted = Object.entries(point);
  let best = { maker: first, agreed: -1 };
  for (const maker of makers) {
    const other = pointOf(maker.step);
    const agreed = wanted.filter(([axis, label]) => other[axis] === String(label)).length;
    if (agreed > best.agreed) best = { maker, agreed };
  }
  return best.maker;
}
