import type { TopLevelSpec } from "vega-lite";
import type { FigureData } from "./figure-points.ts";

/** How a figure looks. */
export interface FigureStyle {
  readonly kind: "bars-grouped" | "bars-stacked" | "lines";
  readonly title: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly seriesTitle: string;
  /** Pixels of one panel. */
  readonly width: number;
  readonly height: number;
  /** Each panel has a scale of y of its own. */
  readonly ownScales: boolean;
  /** Lowest and highest y shown; from the data unless given. */
  readonly yDomain: readonly [number, number] | undefined;
}

/** The figure's font. Verdana has the same widths, for readers whose machine lacks the first. */
export const figureFont = "DejaVu Sans, Verdana, sans-serif";

/** From dark to light, so that series stay apart in print without colour; dashes and shapes tell lines apart too. */
const colours = ["#1b2a49", "#2f73b7", "#e0813a", "#86bb80", "#f3cd67", "#c9c9c9", "#7a4a8a", "#b5473c"];
const dashes = [
  [1, 0],
  [6, 3],
  [2, 2],
  [8, 3, 2, 3],
  [10, 4],
  [4, 4],
  [1, 3],
  [12, 3, 2, 3],
];
const shapes = [
  "circle",
  "square",
  "triangle-up",
  "diamond",
  "cross",
  "triangle-down",
  "triangle-right",
  "triangle-left",
];

/** The Vega-Lite specification of a figure, with its data. */
export function figureSpec(data: FigureData, style: FigureStyle): TopLevelSpec {
  const { order, points } = data;
  const spread = points.some(({ low }) => low !== undefined);
  const layers = [mainLayer(data, style), ...(spread ? [spreadLayer(data, style)] : [])];
  const panel = { width: style.width, height: style.height, layer: layers };
  const header = (labels: readonly string[]): object => ({ type: "nominal", sort: labels, title: null });
  const facet = {
    ...(order.row.length > 0 && { row: { field: "row", ...header(order.row) } }),
    ...(order.column.length > 0 && { column: { field: "column", ...header(order.column) } }),
  };
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    ...(style.title !== "" && { title: style.title }),
    background: "white",
    padding: 12,
    data: { values: points },
    ...(Object.keys(facet).length > 0 ? { facet, spec: panel } : panel),
    ...(style.ownScales && { resolve: { scale: { y: "independent" } } }),
    config: config(style),
  } as unknown as TopLevelSpec;
}

function mainLayer(data: FigureData, style: FigureStyle): object {
  const series = seriesChannels(data, style);
  const encoding = { x: xChannel(data, style), y: yChannel(style), ...series };
  const clip = style.yDomain !== undefined;
  switch (style.kind) {
    case "lines":
      return { mark: { type: "line", clip, point: { size: 55, filled: true }, strokeWidth: 2 }, encoding };
    case "bars-grouped":
      return { mark: bar(clip), encoding: { ...encoding, ...offset(data) } };
    case "bars-stacked":
      return {
        mark: bar(clip),
        encoding: { ...encoding, y: { ...yChannel(style), stack: null }, y2: { field: "from" } },
      };
  }
}

function bar(clip: boolean): object {
  return { type: "bar", clip, stroke: "#1b2a49", strokeWidth: 0.6 };
}

/** One standard deviation to either side of a mean. */
function spreadLayer(data: FigureData, style: FigureStyle): object {
  return {
    mark: { type: "rule", strokeWidth: 1.2, color: "#1b2a49", clip: style.yDomain !== undefined },
    encoding: {
      x: xChannel(data, style),
      y: { ...yChannel(style), field: "low" },
      y2: { field: "high" },
      ...(style.kind === "bars-grouped" && offset(data)),
    },
  };
}

function xChannel({ numericX, order }: FigureData, { kind, xTitle }: FigureStyle): object {
  const title = xTitle;
  if (kind === "lines" && numericX) {
    const values = order.x.map(Number);
    return {
      field: "x",
      type: "quantitative",
      title,
      axis: { values, grid: false },
      scale: { zero: false, padding: 12 },
    };
  }
  const sort = numericX ? order.x.map(Number) : order.x;
  return {
    field: "x",
    type: kind === "lines" ? "ordinal" : "nominal",
    title,
    sort,
    axis: { labelAngle: 0, grid: false },
  };
}

function yChannel({ kind, yTitle, yDomain }: FigureStyle): object {
  // The length of a bar is its value only where it starts at zero.
  const scale = yDomain ? { domain: yDomain, nice: false } : { zero: kind !== "lines" };
  return { field: "y", type: "quantitative", title: yTitle, scale, axis: { tickCount: 6 } };
}

function offset({ order }: FigureData): object {
  return order.series.length === 0
    ? {}
    : { xOffset: { field: "series", type: "nominal", sort: order.series } };
}

function seriesChannels({ order }: FigureData, { kind, seriesTitle }: FigureStyle): object {
  const domain = order.series;
  if (domain.length === 0) return { color: { value: colours[1] } };
  const channel = (range: readonly unknown[]): object => ({
    field: "series",
    type: "nominal",
    title: seriesTitle,
    sort: domain,
    scale: { domain, range: domain.map((_, i) => range[i % range.length]) },
  });
  const color = channel(kind === "lines" ? colours : barColours(domain.length));
  return kind === "lines" ? { color, strokeDash: channel(dashes), shape: channel(shapes) } : { color };
}

/** Bars have neither dashes nor shapes: few of them take colours far apart in lightness. */
function barColours(count: number): readonly string[] {
  if (count <= 3) return [colours[1], colours[2], colours[4]] as string[];
  return colours;
}

function config({ kind }: FigureStyle): object {
  const text = { font: figureFont };
  return {
    font: figureFont,
    view: { stroke: "#b8b8b8" },
    title: { ...text, fontSize: 14, anchor: "start", offset: 12 },
    axis: {
      labelFontSize: 11,
      titleFontSize: 12,
      titleFontWeight: "normal",
      gridColor: "#e4e4e4",
      domainColor: "#555555",
    },
    header: { labelFontSize: 12, labelFontWeight: "bold" },
    legend: {
      labelFontSize: 11,
      titleFontSize: 12,
      titleFontWeight: "normal",
      symbolSize: 110,
      // Dashes around a legend's small symbols only blur them.
      symbolStrokeWidth: kind === "lines" ? 0 : 1,
    },
    facet: { spacing: 18 },
  };
}
