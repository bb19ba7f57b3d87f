import type { GridRules, IncludedPoint } from "../load/grid-rules.ts";
import { pointTests } from "./layout.ts";
import type { Dimension, Labels, Layout } from "./layout.ts";

/** Which points of a node the pipeline's `grid` leaves: its product of axes and zips, without `exclude`, with `include`. */
export interface GridTrimming {
  /** Whether a point, by its number and its labels, is left. */
  keeps(point: number, labels: Labels): boolean;
}

/** How often each rule of `grid` made a difference. */
export interface RuleUse {
  readonly exclude: number[];
  readonly include: number[];
}

/** The trimming of one node; counts into `use` what each rule does. */
export function gridTrimming(
  layout: Layout,
  { exclude, include }: GridRules,
  use: RuleUse = { exclude: [], include: [] },
): GridTrimming {
  const unwanted = exclude.map((point) => pointTests(layout, [point])[0]);
  const added = include.map((point) => includeTest(layout, point));
  const { dimensions } = layout;
  const isDeclared = (point: number): boolean =>
    dimensions.every((dimension) =>
      dimension.isDeclared(Math.floor(point / dimension.stride) % dimension.rows.length),
    );
  const count = (uses: number[], rule: number): void => {
    uses[rule] = (uses[rule] ?? 0) + 1;
  };
  return {
    keeps(point, labels) {
      let isKept = include.length === 0 || isDeclared(point);
      unwanted.forEach((test, rule) => {
        if (!test?.(labels)) return;
        count(use.exclude, rule);
        isKept = false;
      });
      if (isKept) return true;
      added.forEach((test, rule) => {
        if (!test?.(point)) return;
        count(use.include, rule);
        isKept = true;
      });
      return isKept;
    },
  };
}

/** Whether an included point holds a point number of a node; undefined where it names none of its axes. */
function includeTest(layout: Layout, point: IncludedPoint): ((point: number) => boolean) | undefined {
  const included = includedRows(layout, point);
  if (!included) return undefined;
  const wanted = [...included];
  return (number) =>
    wanted.every(([{ rows, stride }, own]) => own.has(Math.floor(number / stride) % rows.length));
}

/** An included point projected onto a node's axes: rows of each dimension; undefined where it names none of the axes. */
export function includedRows(
  layout: Layout,
  { labels, rows }: IncludedPoint,
): ReadonlyMap<Dimension, ReadonlySet<number>> | undefined {
  if (!layout.axes.some(({ name }) => labels.has(name))) return undefined;
  return new Map(
    layout.dimensions.map((dimension) => {
      const whole = dimension.zip
        ? rows.get(dimension.zip)
        : labels.get(layout.axes[dimension.positions[0] ?? 0]?.name ?? "");
      const own = whole
        ? [...whole].map((row) => dimension.rowOf(row))
        : [...dimension.rows.keys()].filter((row) => dimension.isDeclared(row));
      return [dimension, new Set(own)];
    }),
  );
}
