import { mainSeries, rate, seriesHistory, share, stepRemaining } from "../../model/run-state.ts";
import type { StepState } from "../../model/run-state.ts";
import { formatClock, formatCount, formatPercent, formatRate, formatValue } from "../../report/format.ts";
import { bar, sparkline } from "../bar.ts";
import { windowOf } from "../layout.ts";
import type { PaneSize } from "../layout.ts";
import type { Look } from "../look.ts";
import { dim, justified, plain, spansWidth } from "../spans.ts";
import type { Spans } from "../spans.ts";
import { cut, padEnd, padStart, shortId } from "../text.ts";
import type { View } from "../view.ts";

/** What a running row has besides the step's id, left to right; 0 columns where there is no room for it. */
interface Fields {
  readonly bar: number;
  readonly rate: number;
  readonly unit: boolean;
  readonly series: number;
  readonly named: boolean;
  readonly spark: number;
  readonly slot: number;
}

function fieldsFor(width: number): Fields {
  if (width >= 120) return { bar: 16, rate: 16, unit: true, series: 14, named: true, spark: 16, slot: 7 };
  if (width >= 90) return { bar: 12, rate: 9, unit: false, series: 13, named: true, spark: 12, slot: 5 };
  if (width >= 70) return { bar: 10, rate: 8, unit: false, series: 8, named: false, spark: 8, slot: 3 };
  if (width >= 50) return { bar: 8, rate: 0, unit: false, series: 8, named: false, spark: 0, slot: 0 };
  return { bar: 6, rate: 0, unit: false, series: 0, named: false, spark: 0, slot: 0 };
}

/** Names of a cluster's nodes are longer than numbers of workers: what has room for them takes it. */
function withNodeNames(fields: Fields): Fields {
  return fields.slot > 0 ? { ...fields, slot: 2 * fields.slot + 2, spark: fields.spark - 5 } : fields;
}

/** Running steps: bar, share, rate, time left, the main series and where it runs. */
export function runningPaneRows(view: View, now: number, size: PaneSize, look: Look): readonly Spans[] {
  const at = view.running.findIndex(({ id }) => id === view.step?.id);
  const { from, to } = windowOf(view.running.length, size.rows, Math.max(0, at));
  return view.running
    .slice(from, to)
    .map((step, index) =>
      runningRow(view, step, { now, width: size.width, look, selected: from + index === at }),
    );
}

interface RunningRow {
  readonly now: number;
  readonly width: number;
  readonly look: Look;
  readonly selected: boolean;
}

function runningRow(view: View, step: StepState, { now, width, look, selected }: RunningRow): Spans {
  const fields = step.host === undefined ? fieldsFor(width) : withNodeNames(fieldsFor(width));
  const focused = selected && view.focus === "running";
  const left = stepRemaining(view.state, step, now);
  const right: Spans = [
    ...progressSpans(step, now, fields, look),
    dim(padStart(rateWords(step, fields), fields.rate)),
    plain(padStart(left === undefined ? "" : formatClock(left), 7)),
    ...seriesSpans(step, fields, look),
    dim(padEnd(fields.slot > 0 ? ` ${slot(step, fields.slot - 1, look)}` : "", fields.slot)),
  ];
  const retried = step.attempt > 1 ? ` try ${step.attempt}` : "";
  const room = width - 3 - spansWidth(right) - retried.length;
  const marker = focused ? look.glyphs.pointer : look.glyphs.cell.running;
  const name: Spans = [
    { text: `${marker} `, color: focused ? "cyan" : "yellow", bold: focused },
    { text: shortId(step.id, Math.max(8, room), look.glyphs.ellipsis), bold: focused },
    { text: retried, color: "magenta" },
  ];
  return justified(name, right, width, look.glyphs.ellipsis);
}

function progressSpans(step: StepState, now: number, fields: Fields, look: Look): Spans {
  const part = share(step);
  if (part !== undefined) return [...bar(part, fields.bar, look), plain(padStart(formatPercent(part), 5))];
  const width = fields.bar + 5;
  return [dim(padEnd(cut(openEnded(step, now), width, look.glyphs.ellipsis), width))];
}

function rateWords(step: StepState, fields: Fields): string {
  const speed = rate(step);
  if (speed === undefined || fields.rate === 0) return "";
  return cut(formatRate(speed, fields.unit ? step.progress?.unit : ""), fields.rate - 1, "");
}

function seriesSpans(step: StepState, fields: Fields, look: Look): Spans {
  const name = mainSeries(step);
  const value = name === undefined ? undefined : step.series[name]?.last;
  const label = name === undefined || !fields.named ? "" : `${cut(name, 5, "")} `;
  const said = value === undefined || fields.series === 0 ? "" : `${label}${formatValue(value)}`;
  const spark = name === undefined ? "" : sparkline(seriesHistory(step, name), fields.spark, look);
  return [
    plain(padStart(said, fields.series)),
    { text: fields.spark > 0 ? ` ${padEnd(spark, fields.spark)}` : "", color: "cyan" },
  ];
}

/** Stands for the bar where the total is not known. */
function openEnded(step: StepState, now: number): string {
  const busy = step.work === "scan" ? "hashing" : "";
  const time = step.startedAt === undefined ? "" : formatClock(Math.max(0, now - step.startedAt));
  const done = step.progress ? formatCount(step.progress.done) : "";
  return [busy || done, time].filter((word) => word !== "").join(" ");
}

function slot(step: StepState, width: number, look: Look): string {
  const gpu = step.gpus && step.gpus.length > 0 ? ` g${step.gpus.join(",")}` : "";
  if (step.host !== undefined) return `${cut(step.host, width - gpu.length, look.glyphs.ellipsis)}${gpu}`;
  return step.worker === undefined ? "" : `w${step.worker}${gpu}`;
}
