import type { Claim } from "./claim.ts";
import { datasets, ratios } from "./grid.ts";

/** Noise on images moves results further than noise on captions, up or down. */
export const imageStronger: Claim = {
  id: "image_stronger",
  statement: "Image noise changes linear probing more than caption noise of the same share",
  unit: "percent",
  compare: ({ accuracy }) =>
    datasets.flatMap((dataset) =>
      ratios.map((gamma) => {
        const change = (noise: string): number | null => {
          const noisy = accuracy({ noise, gamma, head: "probe", dataset });
          const clean = accuracy({ noise, gamma: 0, head: "probe", dataset });
          return noisy === null || clean === null ? null : Math.abs(noisy - clean);
        };
        return {
          what: `${dataset}, ${gamma} %: change by image noise > by caption noise`,
          greater: change("image"),
          lesser: change("caption"),
        };
      }),
    ),
};
