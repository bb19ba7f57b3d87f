import type { RosterEntry } from "../../cache/types.ts";
import type { Digest, Key, StepId } from "../model/ids.ts";
import type { StoredResult } from "../model/plan.ts";
import { pointOf } from "./step-name.ts";

/** A step of a run, and the result it had. */
export interface Maker {
  readonly step: StepId;
  readonly key: Key;
}

/** Which steps of a run made which artifacts. */
export interface Makers {
  /** Steps whose result has these bytes among its outputs, in the run's order. */
  of(digest: Digest): readonly Maker[];
}

/** Of more steps that made the same bytes than these, the first are as good as any. */
const compared = 64;

/** Reads every result of the roster, once, when first asked. */
export function makersOf(
  entries: readonly RosterEntry[],
  result: (key: Key) => StoredResult | undefined,
): Makers {
  let made: Map<string, Maker[]> | undefined;
  const read = (): Map<string, Maker[]> => {
    const found = new Map<string, Maker[]>();
    for (const [step, key] of entries) {
      const digests = Object.values(result(key)?.outputs ?? {}).map(({ digest }) => digest);
      for (const digest of new Set(digests)) {
        const makers = found.get(digest);
        if (makers) makers.push({ step, key });
        else found.set(digest, [{ step, key }]);
      }
    }
    return found;
  };
  return { of: (digest) => (made ??= read()).get(digest) ?? [] };
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
  for (const maker of makers.slice(0, compared)) {
    const other = pointOf(maker.step);
    const agreed = wanted.filter(([axis, label]) => other[axis] === String(label)).length;
    if (agreed > best.agreed) best = { maker, agreed };
  }
  return best.maker;
}
