import type { Claim } from "./claim.ts";
import { idDatasets, noises } from "./grid.ts";

/** A little noise helps in domain: linear probing at a ratio beats that of the clean model. */
export function idGain(gamma: 5 | 10): Claim {
  return {
    id: `id_gain_${gamma}`,
    statement: `In domain, linear probing is better with ${gamma} % noise than with clean data`,
    unit: "percent",
    compare: ({ accuracy }) =>
      idDatasets.flatMap((dataset) =>
        noises.map((noise) => ({
          what: `${dataset}, ${noise} noise: probe at ${gamma} % > clean`,
          greater: accuracy({ noise, gamma, head: "probe", dataset }),
          lesser: accuracy({ noise, gamma: 0, head: "probe", dataset }),
        })),
      ),
  };
}
