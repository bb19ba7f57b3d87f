import { describe, expect, it } from "vitest";
import { studentQuantile } from "../../nodes/metrics/student.ts";

describe("studentQuantile", () => {
  // From tables of the distribution; the last is the normal's to its digits.
  it.each([
    [0.95, 1, 12.7062],
    [0.95, 2, 4.3027],
    [0.95, 3, 3.1824],
    [0.95, 4, 2.7764],
    [0.9, 5, 2.015],
    [0.99, 6, 3.7074],
    [0.95, 10, 2.2281],
    [0.95, 29, 2.0452],
    [0.95, 100_000, 1.96],
  ])("holds %f of the distribution of %i degrees of freedom within ±%f", (share, degrees, t) => {
    expect(studentQuantile(share, degrees)).toBeCloseTo(t, 3);
  });
});
