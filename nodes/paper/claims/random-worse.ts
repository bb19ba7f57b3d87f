import type { Claim } from "./claim.ts";
import { ratios } from "./grid.ts";

/** Random noise in captions hurts more than adversarial noise, and RAN repairs some of it (Table 3). */
export const randomWorse: Claim = {
  id: "random_worse",
  statement:
    "Random caption noise is worse for linear probing than adversarial noise, and RAN is better than probing under it",
  unit: "percent",
  compare: ({ accuracy }) =>
    ratios.flatMap((gamma) => {
      const dataset = "chestxray14";
      const random = accuracy({ noise: "random", gamma, head: "probe", dataset });
      return [
        {
          what: `${dataset}, ${gamma} %: probe under adversarial captions > under random ones`,
          greater: accuracy({ noise: "caption", gamma, head: "probe", dataset }),
          lesser: random,
        },
        {
          what: `${dataset}, ${gamma} % random captions: ran > probe`,
          greater: accuracy({ noise: "random", gamma, head: "ran", dataset }),
          lesser: random,
        },
      ];
    }),
};
