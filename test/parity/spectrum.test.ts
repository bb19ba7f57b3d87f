import { describe, expect, it } from "vitest";
import { matrix } from "../../nodes/heads/matrix.ts";
import { spectrumOf } from "../../nodes/metrics/spectrum.ts";
import { floats, goldenCases, goldenJson, goldenTensors } from "./clip-golden.ts";

interface Expected {
  readonly singular_values: readonly number[];
  readonly SVE: number;
  readonly LSVR: number;
}

const cases = goldenCases("spectrum");

describe.skipIf(cases.length === 0)("spectra match the golden cases (skipped without golden data)", () => {
  describe.each(cases)("$id", (found) => {
    const expected = goldenJson(found.files["expected"]) as Record<"column" | "row" | "none", Expected> & {
      readonly raw_singular_values: readonly number[];
    };
    const { rtol, singular_atol } = found.tolerance as Record<"rtol" | "singular_atol", number>;

    it.each(["column", "row", "none"] as const)("centred by %s", async (center) => {
      const tensors = await goldenTensors(found, "inputs");
      const [name] = [...tensors.keys()];
      const [rows = 0, cols = 0] = tensors.get(name!)!.shape;
      const features = matrix(rows, cols, floats(tensors, name!));
      const { lsvr, singularValues, sve } = spectrumOf(features, { center, normalize: true });
      const { LSVR, SVE, singular_values } = expected[center];
      expect(singularValues).toHaveLength(singular_values.length);
      singular_values.forEach((value, i) =>
        expect(Math.abs(singularValues[i]! - value)).toBeLessThanOrEqual(singular_atol),
      );
      expect(Math.abs(sve / SVE - 1)).toBeLessThanOrEqual(rtol);
      expect(Math.abs(lsvr / LSVR - 1)).toBeLessThanOrEqual(rtol);
      if (center !== "none") return;
      const raw = spectrumOf(features, { center, normalize: false }).singularValues;
      expected.raw_singular_values.forEach((value, i) =>
        expect(Math.abs(raw[i]! - value)).toBeLessThanOrEqual(rtol * value),
      );
    });
  });
});
