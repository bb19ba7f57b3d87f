import type { Claim } from "./claim.ts";
import type { Facts, Place } from "./facts.ts";
import { datasets, domains, noises, ratios } from "./grid.ts";

type Cell = Omit<Place, "head">;

/** RAN repairs more where noise hurts more: on images. */
export const ranGain: Claim = {
  id: "ran_gain",
  statement: "On average, RAN gains more over the MLP under image noise than under caption noise",
  unit: "percent",
  compare: (facts) => [
    meanGains(facts, {
      sides: ["image noise", "caption noise"],
      cells: datasets.flatMap((dataset) =>
        ratios.map((gamma): readonly [Cell, Cell] => [
          { noise: "image", gamma, dataset },
          { noise: "caption", gamma, dataset },
        ]),
      ),
    }),
  ],
};

/** RAN repairs more out of domain. */
export const ranGainOod: Claim = {
  id: "ran_gain_ood",
  statement: "On average, RAN gains more over the MLP out of domain than in domain",
  unit: "percent",
  compare: (facts) => [
    meanGains(facts, {
      sides: ["out of domain", "in domain"],
      cells: noises.flatMap((noise) =>
        domains.flatMap(({ id, ood }) =>
          ratios.map((gamma): readonly [Cell, Cell] => [
            { noise, gamma, dataset: ood },
            { noise, gamma, dataset: id },
          ]),
        ),
      ),
    }),
  ],
};

/** Mean gains over those cells that both sides have, so that both are means over the same part of the grid. */
function meanGains(
  { accuracy }: Facts,
  {
    cells,
    sides: [left, right],
  }: { readonly cells: readonly (readonly [Cell, Cell])[]; readonly sides: readonly [string, string] },
): ReturnType<Claim["compare"]>[number] {
  const gain = (cell: Cell): number | null => {
    const ran = accuracy({ ...cell, head: "ran" });
    const mlp = accuracy({ ...cell, head: "mlp" });
    return ran === null || mlp === null ? null : ran - mlp;
  };
  const gains = cells.flatMap(([first, second]): readonly (readonly [number, number])[] => {
    const [one, other] = [gain(first), gain(second)];
    return one === null || other === null ? [] : [[one, other]];
  });
  const mean = (side: 0 | 1): number | null =>
    gains.length === 0 ? null : gains.reduce((sum, pair) => sum + pair[side], 0) / gains.length;
  return {
    what: `mean of RAN - MLP over ${gains.length} of ${cells.length} cells: ${left} > ${right}`,
    greater: mean(0),
    lesser: mean(1),
    ...(gains.length < cells.length && { partial: true }),
  };
}
