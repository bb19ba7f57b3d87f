import type { Claim } from "./claim.ts";
import { ratios } from "./grid.ts";

const pairs = [
  { better: "nmtune", worse: "probe" },
  { better: "ran", worse: "nmtune" },
] as const;

/** RAN beats NMTune, and NMTune linear probing, under image noise (Table 6). */
export const nmtune: Claim = {
  id: "nmtune",
  statement: "Under image noise RAN is better than NMTune, and NMTune better than linear probing",
  unit: "percent",
  compare: ({ accuracy }) =>
    ["chestxray14", "chexpert"].flatMap((dataset) =>
      ratios.flatMap((gamma) =>
        pairs.map(({ better, worse }) => ({
          what: `${dataset}, ${gamma} %: ${better} > ${worse}`,
          greater: accuracy({ noise: "image", gamma, head: better, dataset }),
          lesser: accuracy({ noise: "image", gamma, head: worse, dataset }),
        })),
      ),
    ),
};
