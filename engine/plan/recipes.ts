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
  /** Of steps that are not alone with their recipe; the recipes themselves are not kept, and most steps are alone. */
  let shared: ReadonlyMap<number, readonly number[]> | undefined;
  return { peers: (step) => (shared ??= sharedRecipes(steps)).get(step) ?? [step] };
}

function sharedRecipes(steps: readonly Step[]): ReadonlyMap<number, readonly number[]> {
  const keys: RecipeKey[] = [];
  const firsts = new Map<RecipeKey, number>();
  const shared = new Map<number, number[]>();
  for (const step of steps) {
    const common = recipeKeyOf(recipeOf(step, (upstream) => keys[upstream] as RecipeKey));
    // A step that is not cached runs for itself, and may give other bytes each time.
    const key = step.cache
      ? common
      : (taggedHash("ranflow/recipe-uncached/1", [common, step.id]) as RecipeKey);
    keys.push(key);
    const first = firsts.get(key);
    if (first === undefined) {
      firsts.set(key, step.index);
      continue;
    }
    const group = shared.get(first) ?? [first];
    group.push(step.index);
    shared.set(first, group).set(step.index, group);
  }
  return shared;
}
