import type { Claim } from "./claim.ts";
import { idDatasets, noises } from "./grid.ts";

/** Much noise hurts in domain. */
export const idDrop: Claim = {
  id: "id_drop",
  statement: "In domain, linear probing is worse with 20 % and 30 % noise than with clean data",
  unit: "percent",
  compare: ({ accuracy }) =>
    idDatasets.flatMap((dataset) =>
      noises.flatMap((noise) =>
        [20, 30].map((gamma) => ({
          what: `${dataset}, ${noise} noise: probe on clean > at ${gamma} %`,
          greater: accuracy({ noise, gamma: 0, head: "probe", dataset }),
          lesser: accuracy({ noise, gamma, head: "probe", dataset }),
        })),
      ),
    ),
};
