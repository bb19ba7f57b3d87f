import type { Claim } from "./claim.ts";
import type { Facts } from "./facts.ts";
import { noises, oodDatasets, ratios } from "./grid.ts";

/** Out of domain, every further share of noise hurts. A ratio is compared with the next smaller one that was measured. */
export const oodMonotone: Claim = {
  id: "ood_monotone",
  statement: "Out of domain, linear probing gets worse with every further share of noise",
  unit: "percent",
  compare: (facts) =>
    oodDatasets.flatMap((dataset) =>
      noises.flatMap((noise) =>
        ratios.map((gamma) => {
          const at = (ratio: number): number | null =>
            facts.accuracy({ noise, gamma: ratio, head: "probe", dataset });
          const before = nextSmaller(gamma, at);
          return {
            what: `${dataset}, ${noise} noise: probe at ${before} % > at ${gamma} %`,
            greater: at(before),
            lesser: at(gamma),
          };
        }),
      ),
    ),
};

function nextSmaller(gamma: number, at: (ratio: number) => ReturnType<Facts["accuracy"]>): number {
  const smaller = [0, ...ratios].filter((ratio) => ratio < gamma);
  return smaller.findLast((ratio) => at(ratio) !== null) ?? (smaller.at(-1) as number);
}
