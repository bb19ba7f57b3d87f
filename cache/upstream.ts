import type { Digest, Key } from "../engine/model/ids.ts";
import type { StoredResult } from "../engine/model/plan.ts";
import type { RosterEntry } from "./types.ts";

/** Digests of the artifacts that a result was made from. */
export function inputsOf({ fingerprint }: StoredResult): readonly Digest[] {
  return Object.values(fingerprint.inputs).flatMap((input) =>
    typeof input === "string" ? [input] : input.map(({ digest }) => digest),
  );
}

/**
 * Some entries of a roster with all entries that they were made from, in the roster's order: those whose outputs they
 * read, and so on.
 */
export function upstreamEntries(
  entries: readonly RosterEntry[],
  wanted: readonly RosterEntry[],
  result: (key: Key) => StoredResult | undefined,
): readonly RosterEntry[] {
  const makers = new Map<Digest, Set<Key>>();
  for (const [, key] of entries) {
    for (const { digest } of Object.values(result(key)?.outputs ?? {})) {
      makers.set(digest, (makers.get(digest) ?? new Set()).add(key));
    }
  }
  const keys = new Set<Key>();
  const queue = wanted.map(([, key]) => key);
  for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
    if (keys.has(key)) continue;
    keys.add(key);
    const found = result(key);
    for (const digest of found ? inputsOf(found) : []) {
      for (const maker of makers.get(digest) ?? []) queue.push(maker);
      // Once is enough: a table may read a thousand equal results, each made by a thousand steps.
      makers.delete(digest);
    }
  }
  return entries.filter(([, key]) => keys.has(key));
}
