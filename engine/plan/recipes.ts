import { taggedHash } from "../../cache/hash.ts";
import type { Step } from "../model/grid.ts";
import type { RecipeKey } from "../model/ids.ts";
import { recipeKeyOf, recipeOf } from "./fingerprint.ts";

/** Which steps of a grid do the same work, as far as that can be told before anything ran. */
export interface Recipes {
  /** Steps with the same recipe, in order, this one among them. */
  peers(step: number): readonly number[];
}

/** Recipes are computed at the first question: a plan of nothing but hits never asks. */
export function createRecipes(steps: readonly Step[]): Recipes {
  let groups: { readonly keys: readonly RecipeKey[]; readonly members: Map<RecipeKey, number[]> } | undefined;
  const compute = (): NonNullable<typeof groups> => {
    const keys: RecipeKey[] = [];
    const members = new Map<RecipeKey, number[]>();
    for (const step of steps) {
      const common = recipeKeyOf(recipeOf(step, (upstream) => keys[upstream] as RecipeKey));
      // A step that is not cached runs for itself, and may give other bytes each time.
      const key = step.cache
        ? common
        : (taggedHash("ranflow/recipe-uncached/1", [common, step.id]) as RecipeKey);
      keys.push(key);
      const group = members.get(key);
      if (group) group.push(step.index);
      else members.set(key, [step.index]);
    }
    return { keys, members };
  };
  return {
    peers: (step) => {
      groups ??= compute();
      return groups.members.get(groups.keys[step] as RecipeKey) ?? [step];
    },
  };
}
