import type { Claim } from "./claim.ts";
import { datasets, noises, ratios } from "./grid.ts";

const pairs = [
  { better: "mlp", worse: "probe" },
  { better: "ran", worse: "mlp" },
] as const;

/** RAN beats the MLP, and the MLP linear probing, everywhere. */
export const order: Claim = {
  id: "order",
  statement: "RAN is better than the MLP, and the MLP better than linear probing, in every cell",
  unit: "percent",
  compare: ({ accuracy }) =>
    noises.flatMap((noise) =>
      [0, ...ratios].flatMap((gamma) =>
        datasets.flatMap((dataset) =>
          pairs.map(({ better, worse }) => ({
            what: `${dataset}, ${noise} noise, ${gamma} %: ${better} > ${worse}`,
            greater: accuracy({ noise, gamma, head: better, dataset }),
            lesser: accuracy({ noise, gamma, head: worse, dataset }),
          })),
        ),
      ),
    ),
};
