import { NodeError, type Port, type RunContext } from "../../engine/sdk.ts";
import type { FigureParams } from "../report-figure.ts";
import { labelText } from "./cell-text.ts";
import { figurePoints, gainSteps, sumSteps, type FigureData } from "./figure-points.ts";
import { figureSpec } from "./figure-spec.ts";
import { renderSvg } from "./render.ts";
import { readRows, type ReportRow } from "./rows.ts";
import { writeFigureFiles } from "./write-figure.ts";

type Context = RunContext<
  FigureParams,
  {
    readonly rows: Port & { readonly many: true };
    readonly table: Port & { readonly optional: true };
  },
  { readonly report: Port }
>;

/** The work of `report.figure`. */
export async function writeFigureReport(context: Context): Promise<void> {
  const { params, inputs, log } = context;
  const records = await readRows(inputs);
  const { names, yMin, yMax } = params;
  const spec = figureSpec(arranged(records, params), {
    kind: params.kind,
    title: params.title,
    xTitle: labelText(params.x, names),
    yTitle: labelText(yName(records, params.y), names),
    seriesTitle: labelText(params.series ?? "", names),
    width: params.width,
    height: params.height,
    ownScales: params.yScale === "own",
    yDomain: yMin === null || yMax === null ? undefined : [yMin, yMax],
  });
  const svg = await renderSvg(spec, (message) => log(message, "warning"));
  await writeFigureFiles(context, spec, svg);
}

function arranged(records: readonly ReportRow[], params: FigureParams): FigureData {
  const data = figurePoints(records, {
    x: params.x,
    y: params.y,
    series: params.series,
    facet: params.facet,
    aggregate: params.aggregate,
    percent: params.percent,
    names: params.names,
  });
  if (params.kind !== "bars-stacked") return data;
  if (params.stack === "gain") return gainSteps(data);
  const negative = data.points.find(({ y }) => y < 0);
  if (!negative) return sumSteps(data);
  throw new NodeError(`a stack of parts cannot hold the negative value ${negative.y}`, {
    hint: "Use bars-grouped, or stack: gain.",
  });
}

/** The headline metric's own name, where all records agree on it. */
function yName(records: readonly ReportRow[], y: string): string {
  const headlines = new Set(records.map(({ fields }) => fields["headline"]));
  const [only] = headlines;
  return y === "headline" && headlines.size === 1 && typeof only === "string" ? only : y;
}
