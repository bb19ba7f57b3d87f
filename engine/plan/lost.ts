import type { ArtifactRef } from "../model/artifact.ts";
import type { Digest, Key } from "../model/ids.ts";
import type { Links } from "./links.ts";
import type { StepState } from "./step-state.ts";

/**
 * Keys of the results that steps which are not decided yet may need again: the index has them, and their bytes are
 * gone. To make one of them again may take others.
 */
export async function lostResults(parts: {
  readonly states: readonly StepState[];
  readonly links: Links;
  /** What a step reads, as far as it is known. */
  readonly artifacts: (step: number) => readonly { readonly from: number; readonly artifact: ArtifactRef }[];
  readonly isPresent: (artifact: ArtifactRef) => Promise<boolean>;
}): Promise<ReadonlySet<Key>> {
  const { artifacts, isPresent, links, states } = parts;
  const lost = new Set<Key>();
  const there = new Set<Digest>();
  const queue = states.flatMap(({ decision }, index) => (decision.kind === "undecided" ? [index] : []));
  const isHit = (index: number): boolean => states[index]?.decision.kind === "hit";
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) {
    if (!links.upstream(index).some(isHit)) continue;
    for (const { artifact, from } of artifacts(index)) {
      const decision = states[from]?.decision;
      if (decision?.kind !== "hit" || lost.has(decision.key) || there.has(artifact.digest)) continue;
      if (await isPresent(artifact)) {
        there.add(artifact.digest);
      } else {
        lost.add(decision.key);
        queue.push(from);
      }
    }
  }
  return lost;
}
