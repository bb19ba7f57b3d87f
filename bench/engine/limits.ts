import type { SizeResult } from "./run-size.ts";
import type { Measurement } from "./tool.ts";

/** A figure that ranflow must keep to. */
export interface Limit {
  readonly what: string;
  readonly unit: string;
  readonly atMost: number;
  /** Undefined where the sizes that it takes were not measured. */
  readonly value: number | undefined;
}

/** What issue and README promise, with what was measured. */
export function limits(sizes: readonly SizeResult[]): readonly Limit[] {
  const of = (steps: number, measurement: Measurement) =>
    sizes.find((size) => size.steps === steps)?.tools["ranflow"]?.[measurement];
  const wall = (steps: number, measurement: Measurement = "noop"): number | undefined =>
    of(steps, measurement)?.wall;
  const noop = (steps: number, atMost: number): Limit => ({
    what: `no-op run, ${steps.toLocaleString("en")} steps`,
    unit: "s",
    atMost,
    value: wall(steps),
  });
  const peak = Math.max(
    ...(["plan", "first", "noop", "change"] as const).map((m) => of(100_002, m)?.peak ?? 0),
  );
  return [
    noop(1_002, 0.35),
    noop(5_002, 0.6),
    noop(100_002, 5),
    {
      what: "first run of trivial steps, per step, at 5,002",
      unit: "ms",
      atMost: 2.5,
      value: combine([wall(5_002, "first")], ([first]) => (first / 5_002) * 1000),
    },
    {
      what: "change one step of 5,002, beyond a no-op",
      unit: "s",
      atMost: 0.3,
      value: combine([wall(5_002, "change"), wall(5_002)], ([change, nothing]) => change - nothing),
    },
    {
      what: "peak RSS, 100,002 steps",
      unit: "MB",
      atMost: 500,
      value: peak > 0 ? peak / 1e6 : undefined,
    },
    {
      what: "marginal no-op time per step, 20,002 to 100,002 against 5,002 to 20,002",
      unit: "x",
      atMost: 1.2,
      value: combine(
        [wall(5_002), wall(20_002), wall(100_002)],
        ([small, middle, large]) => (large - middle) / 80_000 / ((middle - small) / 15_000),
      ),
    },
  ];
}

function combine<const T extends readonly (number | undefined)[]>(
  values: T,
  work: (values: { readonly [K in keyof T]: number }) => number,
): number | undefined {
  return values.includes(undefined) ? undefined : work(values as { readonly [K in keyof T]: number });
}
