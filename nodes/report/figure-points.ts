import { NodeError, type Scalar } from "../../engine/sdk.ts";
import { labelText } from "./cell-text.ts";
import type { Aggregate } from "./aggregates.ts";
import { pivot } from "./pivot.ts";
import type { ReportRow } from "./rows.ts";

/** What a figure shows of its records. */
export interface FigureQuery {
  readonly x: string;
  readonly y: string;
  /** Undefined for a single series. */
  readonly series: string | undefined;
  /** None; columns; or rows and columns of panels. */
  readonly facet: readonly string[];
  readonly aggregate: Aggregate;
  readonly percent: boolean;
  /** Label or field -> the words that stand for it. */
  readonly names: Readonly<Record<string, string>>;
}

/** One mark of a figure: a point of a line, or a bar from `from` to `y`. */
export interface FigurePoint {
  readonly x: string | number;
  readonly y: number;
  readonly from?: number;
  /** y minus and plus one standard deviation, or the ends of its confidence interval, where several records were averaged. */
  readonly low?: number;
  readonly high?: number;
  readonly series?: string;
  readonly row?: string;
  readonly column?: string;
}

/** The points of a figure, with the order in which labels are shown. */
export interface FigureData {
  readonly points: readonly FigurePoint[];
  readonly order: Readonly<Record<"x" | "series" | "row" | "column", readonly string[]>>;
  /** All x are numbers: the axis is a scale rather than a list of labels. */
  readonly numericX: boolean;
}

/**
 * Reads a figure's points from records.
 *
 * @throws NodeError for unknown or ambiguous names, several records in one place, or no value at all
 */
export function figurePoints(records: readonly ReportRow[], query: FigureQuery): FigureData {
  const { x, series, facet, names } = query;
  const table = pivot(records, {
    rows: [...facet, x],
    columns: series === undefined ? [] : [series],
    values: [query.y],
    aggregate: query.aggregate,
  });
  const show = (label: Scalar | undefined): string => labelText(label, names);
  const xs = table.rows.map((labels) => labels.at(-1));
  const numericX = xs.every((label) => label !== null && label !== "" && Number.isFinite(Number(label)));
  const scaled = (value: number): number => (query.percent ? Number((100 * value).toPrecision(12)) : value);

  const points = table.rows.flatMap((labels, i) =>
    table.columns.flatMap((column, j): FigurePoint[] => {
      const { ci, sd = ci, value } = table.cells[i]?.[j] ?? { value: null };
      if (value === null) return [];
      return [
        {
          ...(facet.length === 2 && { row: show(labels[0]) }),
          ...(facet.length > 0 && { column: show(labels[facet.length - 1]) }),
          x: numericX ? Number(labels.at(-1)) : show(labels.at(-1)),
          ...(series !== undefined && { series: show(column[0]) }),
          y: scaled(value),
          ...(sd !== undefined && { low: scaled(value - sd), high: scaled(value + sd) }),
        },
      ];
    }),
  );
  if (points.length === 0) {
    throw new NodeError(`no record has a value of ${query.y}`, {
      hint: "Name another field as y; `ranflow show` prints the records of a step.",
    });
  }
  const unique = (labels: readonly (Scalar | undefined)[]): string[] => [...new Set(labels.map(show))];
  return {
    points,
    numericX,
    order: {
      x: unique(orderOf(records, x)),
      series: series === undefined ? [] : unique(table.columns.map(([label]) => label)),
      row: facet.length === 2 ? unique(orderOf(records, facet[0] as string)) : [],
      column: facet.length > 0 ? unique(orderOf(records, facet.at(-1) as string)) : [],
    },
  };

  function orderOf(all: readonly ReportRow[], name: string): readonly Scalar[] {
    const options = { rows: [name], columns: [], values: [query.y], aggregate: "mean" } as const;
    return pivot(all, options).rows.map(([label]) => label as Scalar);
  }
}

/**
 * Turns the series of each place into steps on top of each other: the first series from zero, every other from its
 * predecessor to itself, as a gain. A step downwards is a loss and has a label, and so a colour, of its own.
 */
export function gainSteps(data: FigureData): FigureData {
  const { series } = data.order;
  const gain = (i: number): string => `${series[i] as string} − ${series[i - 1] as string}`;
  const loss = (i: number): string => `${gain(i)} (loss)`;
  const places = new Map<string, FigurePoint[]>();
  for (const point of data.points) {
    const key = JSON.stringify([point.row, point.column, point.x]);
    places.set(key, [...(places.get(key) ?? []), point]);
  }
  const points = [...places.values()].flatMap((group) =>
    series.flatMap((label, i): FigurePoint[] => {
      const point = group.find((other) => other.series === label);
      const previous = i === 0 ? { y: 0 } : group.find((other) => other.series === series[i - 1]);
      // A gain over a series that has no value here would pass for a gain over another one.
      if (!point || !previous) return [];
      const step = i === 0 ? label : point.y < previous.y ? loss(i) : gain(i);
      return [{ ...point, from: previous.y, series: step }];
    }),
  );
  const used = new Set(points.map((point) => point.series));
  const labels = series.flatMap((label, i) => (i === 0 ? [label] : [gain(i), loss(i)]));
  return { ...data, points, order: { ...data.order, series: labels.filter((label) => used.has(label)) } };
}

/** Stacks the series of each place as they are: parts of a whole. */
export function sumSteps(data: FigureData): FigureData {
  const tops = new Map<string, number>();
  const points = data.points.map((point) => {
    const key = JSON.stringify([point.row, point.column, point.x]);
    const from = tops.get(key) ?? 0;
    tops.set(key, from + point.y);
    return { ...point, from, y: from + point.y };
  });
  return { ...data, points };
}
