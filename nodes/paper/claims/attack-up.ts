import { printedTables } from "../tables.ts";
import type { Claim, Comparison } from "./claim.ts";
import type { Facts } from "./facts.ts";

/** Models that the paper attacks; those that were measured besides are compared as well. */
const printed = {
  image: [...printedTables[1].rows, ...printedTables[8].rows].map(([model]) => model as string),
  caption: printedTables[2].rows.map(([model]) => model as string),
};

/** Adversarial images come nearer to their target (Tables 1 and 8), adversarial captions lead away (Table 2). */
export const attackUp: Claim = {
  id: "attack_up",
  statement:
    "Adversarial images score higher with their targets than clean ones, adversarial captions lower with the clean image",
  unit: "score",
  compare: (facts) => [...comparisons(facts, "image"), ...comparisons(facts, "caption")],
};

function comparisons(facts: Facts, of: "image" | "caption"): readonly Comparison[] {
  const models = [...new Set([...printed[of], ...facts.models(of)])];
  const [better, worse] =
    of === "image" ? (["adversarial", "clean"] as const) : (["clean", "adversarial"] as const);
  return models.map((model) => ({
    what: `${model}: ${better} ${of} > ${worse} ${of}`,
    greater: facts.score({ model, of, which: better }),
    lesser: facts.score({ model, of, which: worse }),
  }));
}
