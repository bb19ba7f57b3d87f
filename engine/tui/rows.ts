/** What the panes show, row by row: pure functions from view to spans. */
import {
  elapsed,
  eta,
  finished,
  mainSeries,
  rate,
  seriesHistory,
  settled,
  share,
  stepRemaining,
  timeByNode,
} from "../model/run-state.ts";
import type { LogLine, NodeState, RunState, StepState } from "../model/run-state.ts";
import {
  formatClock,
  formatCount,
  formatDuration,
  formatPercent,
  formatRate,
  formatValue,
  printableLines,
} from "../report/format.ts";
import { bar, sparkline } from "./bar.ts";
import { nodeCountsWidth, nodeNameWidth, stripHeights, stripWidth, windowOf } from "./layout.ts";
import type { PaneSize } from "./layout.ts";
import { cellColors } from "./look.ts";
import type { CellKind, Color, Look } from "./look.ts";
import { dim, justified, plain } from "./spans.ts";
import type { Span, Spans } from "./spans.ts";
import { stripOf, stripRows } from "./strip.ts";
import { cut, cutMiddle, padEnd, padStart, wrapText } from "./text.ts";
import { phasesOf } from "./view.ts";
import type { NodeRow, View } from "./view.ts";

/** Pipeline, status, clock and ETA; below it the bar and the counts. */
export function headerRows(state: RunState, now: number, width: number, look: Look): readonly Spans[] {
  const status: Readonly<Record<RunState["status"], Span>> = {
    idle: dim("starting"),
    planning: { text: "planning", color: "blue" },
    running: { text: "running", color: "yellow" },
    stopping: {
      text:
        state.stopping === "now"
          ? "stopping now"
          : "stopping: steps save checkpoints, ctrl-c again stops now",
      color: "magenta",
      bold: true,
    },
    succeeded: { text: "succeeded", color: "green", bold: true },
    failed: { text: "failed", color: "red", bold: true },
    interrupted: { text: "interrupted", color: "magenta", bold: true },
  };
  const left = eta(state, now);
  const clock: Spans = [
    plain(formatClock(elapsed(state, now))),
    ...(left
      ? [
          dim(left.atLeast ? ", at least " : ", about "),
          plain(formatDuration(left.milliseconds)),
          dim(" left"),
        ]
      : []),
  ];
  const title: Spans = [
    { text: ` ${state.pipeline || "ranflow"}`, bold: true },
    plain("  "),
    status[state.status],
    dim(state.backend === "" ? "" : `  ${state.backend}`),
  ];
  const total = state.steps.length;
  const counts: Span[] = [plain(`${formatCount(settled(state.counts))}/${formatCount(total)}`)];
  const said: readonly (readonly [CellKind, number, string])[] = [
    ["failed", state.counts.failed, "failed"],
    ["skipped", state.counts.skipped, "skipped"],
    ["cancelled", state.counts.cancelled, "cancelled"],
    ["running", state.counts.running, "running"],
    ["queued", state.counts.queued, "queued"],
    ["cached", state.counts.cached + state.counts.shared, "cached"],
  ];
  for (const [kind, count, word] of said)
    if (count > 0)
      counts.push(plain("  "), {
        text: `${look.glyphs.cell[kind]} ${formatCount(count)} ${word}`,
        color: cellColors[kind],
      });
  const used = counts.reduce((sum, span) => sum + span.text.length, 0);
  const barWidth = Math.max(8, Math.min(60, width - used - 4));
  const filled = total > 0 ? settled(state.counts) / total : 0;
  return [
    justified(title, [...clock, plain(" ")], width, look.glyphs.ellipsis),
    [plain(" "), ...bar(filled, barWidth, look), plain("  "), ...counts],
  ];
}

/** The nodes with their strips, as many as are in view around the selected one. */
export function nodePaneRows(view: View, size: PaneSize, look: Look): readonly Spans[] {
  const cells = stripWidth(size.width);
  const sizes = view.rows.map(({ steps }) => steps.length);
  const heights = stripHeights(sizes, cells, size.rows);
  const { from, to } = windowOf(view.rows.length, size.rows, view.row);
  const names = nameWidth(view.rows);
  return view.rows.slice(from, to).flatMap((row, index) => {
    const which = from + index;
    return nodeLines(row, {
      view,
      look,
      width: size.width,
      name: names,
      cells: cells + nodeNameWidth - names,
      height: heights[which] ?? 1,
      selected: which === view.row,
    });
  });
}

interface NodeLine {
  readonly view: View;
  readonly look: Look;
  readonly width: number;
  readonly name: number;
  readonly cells: number;
  readonly height: number;
  readonly selected: boolean;
}

function nodeLines(row: NodeRow, line: NodeLine): readonly Spans[] {
  const { view, look, selected } = line;
  const strip = stripOf(phasesOf(view.state, row), line.cells * line.height);
  const step = selected && view.step ? row.steps.indexOf(view.state.index.get(view.step.id) ?? -1) : -1;
  const strips = stripRows(strip, {
    width: line.cells,
    selected: step < 0 ? undefined : Math.floor(step / strip.per),
    look,
  });
  const focused = selected && view.focus === "nodes";
  const name: Spans = [
    {
      text: selected ? `${look.glyphs.pointer} ` : "  ",
      ...(focused && { color: "cyan" as const }),
      bold: focused,
    },
    { text: padEnd(cut(row.node.name, line.name, look.glyphs.ellipsis), line.name), bold: selected },
    plain(" "),
  ];
  const indent: Spans = [plain(" ".repeat(line.name + 3))];
  return (strips.length === 0 ? [[]] : strips).map((cells, at) =>
    at === 0
      ? justified([...name, ...cells], nodeCounts(row.node, look), line.width, "")
      : [...indent, ...cells],
  );
}

function nodeCounts(node: NodeState, look: Look): Spans {
  const { counts } = node;
  const notes: Span[] = [];
  const note = (kind: CellKind, count: number): void => {
    if (count > 0)
      notes.push({ text: ` ${look.glyphs.cell[kind]}${formatCount(count)}`, color: cellColors[kind] });
  };
  note("failed", counts.failed);
  note("skipped", counts.skipped);
  note("running", counts.running);
  const done = finished(counts);
  const whole = done === node.size;
  const said = `${formatCount(done)}/${formatCount(node.size)}`;
  const word: Span = { text: said, ...(whole && { dim: true }) };
  const used = notes.reduce((sum, { text }) => sum + text.length, 0);
  const space = Math.max(0, nodeCountsWidth - 1 - used - said.length);
  return [...notes, plain(" ".repeat(space)), word];
}

function nameWidth(rows: readonly NodeRow[]): number {
  return Math.min(nodeNameWidth, Math.max(4, ...rows.map(({ node }) => node.name.length)));
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
  const roomy = width >= 92;
  const barWidth = roomy ? 14 : 10;
  const sparkWidth = roomy ? 14 : 8;
  const series = mainSeries(step);
  const value = series === undefined ? undefined : step.series[series]?.last;
  const part = share(step);
  const speed = rate(step);
  const left = stepRemaining(view.state, step, now);
  const spark = series === undefined ? "" : sparkline(seriesHistory(step, series), sparkWidth, look);
  const unit = step.progress?.unit ?? "";
  const busy = step.work === "scan" ? "hashing files" : "";
  const right: Spans = [
    ...(part === undefined
      ? [dim(padEnd(cut(openEnded(step, now, busy), barWidth + 5, look.glyphs.ellipsis), barWidth + 5))]
      : [...bar(part, barWidth, look), plain(padStart(formatPercent(part), 5))]),
    dim(
      padStart(
        speed === undefined ? "" : cut(formatRate(speed, roomy ? unit : ""), roomy ? 14 : 8, ""),
        roomy ? 15 : 9,
      ),
    ),
    plain(padStart(left === undefined ? "" : formatClock(left), 8)),
    plain(padStart(value === undefined ? "" : formatValue(value), 8)),
    { text: ` ${padEnd(spark, sparkWidth)}`, color: "cyan" },
    dim(padEnd(` ${slot(step)}`, roomy ? 7 : 3)),
  ];
  const focused = selected && view.focus === "running";
  const name: Spans = [
    focused
      ? { text: `${look.glyphs.pointer} `, color: "cyan", bold: true }
      : { text: `${look.glyphs.cell.running} `, color: "yellow" },
    {
      text: cutMiddle(
        step.id,
        Math.max(8, width - 3 - right.reduce((sum, span) => sum + span.text.length, 0)),
        look.glyphs.ellipsis,
      ),
      bold: focused,
    },
    ...(step.attempt > 1 ? [{ text: ` try ${step.attempt}`, color: "magenta" as const }] : []),
  ];
  return justified(name, right, width, look.glyphs.ellipsis);
}

function openEnded(step: StepState, now: number, busy: string): string {
  const time = step.startedAt === undefined ? "" : formatClock(Math.max(0, now - step.startedAt));
  const done = step.progress ? formatCount(step.progress.done) : "";
  return [busy || done, time].filter((word) => word !== "").join(" ");
}

function slot(step: StepState): string {
  const gpu = step.gpus && step.gpus.length > 0 ? ` g${step.gpus.join(",")}` : "";
  return step.worker === undefined ? "" : `w${step.worker}${gpu}`;
}

/** Failed steps, the newest first: what failed, and why. */
export function failedPaneRows(view: View, size: PaneSize, look: Look): readonly Spans[] {
  const newest = view.failed.toReversed();
  const both = size.rows >= 2 * newest.length || size.rows >= 4;
  const each = both ? 2 : 1;
  const at = Math.max(
    0,
    newest.findIndex(({ id }) => id === view.step?.id),
  );
  const { from, to } = windowOf(newest.length, Math.max(1, Math.floor(size.rows / each)), at);
  return newest.slice(from, to).flatMap((step): Spans[] => {
    const focused = view.focus === "failed" && step.id === view.step?.id;
    const words = step.error
      ? `${step.error.kind === "node" ? "" : `${step.error.kind}: `}${printableLines(step.error.message).join(" ")}`
      : "";
    const hint = step.error?.hint === undefined ? "" : `  ${printableLines(step.error.hint).join(" ")}`;
    const title: Spans = [
      {
        text: `${focused ? look.glyphs.pointer : look.glyphs.cell.failed} `,
        color: focused ? "cyan" : "red",
        bold: true,
      },
      {
        text: cutMiddle(step.id, both ? size.width - 2 : Math.floor(size.width / 2), look.glyphs.ellipsis),
        bold: true,
      },
    ];
    return both ? [title, [plain("    "), plain(words), dim(hint)]] : [[...title, plain("  "), plain(words)]];
  });
}

/** The first queued steps, in plan order. */
export function queuePaneRows(queued: readonly StepState[], size: PaneSize, look: Look): readonly Spans[] {
  return queued.map((step): Spans => {
    const expected = step.expected === undefined ? "" : `about ${formatDuration(step.expected)}`;
    const again = step.error === undefined ? "" : "waits to try again  ";
    return justified(
      [
        { text: `${look.glyphs.cell.queued} `, color: cellColors.queued },
        plain(cutMiddle(step.id, size.width - 24, look.glyphs.ellipsis)),
      ],
      [{ text: again, color: "magenta" }, dim(expected)],
      size.width,
      look.glyphs.ellipsis,
    );
  });
}

/** Where the time went so far, the longest first. */
export function timePaneRows(state: RunState, size: PaneSize, look: Look): readonly Spans[] {
  return timeByNode(state)
    .slice(0, size.rows)
    .map(({ node, spent, share: part }) => [
      plain(`  ${padEnd(cut(node.name, nodeNameWidth, look.glyphs.ellipsis), nodeNameWidth)} `),
      ...bar(part, 24, look),
      plain(padStart(formatPercent(part), 5)),
      dim(
        `${padStart(formatDuration(spent), 9)}  ${formatCount(node.executed)} x ${formatDuration(spent / node.executed)}`,
      ),
    ]);
}

const levelColors: Readonly<Record<LogLine["level"], Color | undefined>> = {
  info: undefined,
  warning: "yellow",
  error: "red",
};

/** The tail of a log; with the step's name before each line where it is of several. */
export function logPaneRows(lines: readonly LogLine[], options: LogOptions): readonly Spans[] {
  const rows = lines.flatMap((line) => logRows(line, options));
  return rows.slice(-options.size.rows);
}

export interface LogOptions {
  readonly size: PaneSize;
  readonly startedAt: number;
  readonly named: boolean;
  readonly look: Look;
}

function logRows(line: LogLine, { size, startedAt, named, look }: LogOptions): readonly Spans[] {
  const color = levelColors[line.level];
  const clock = dim(`${padStart(formatClock(line.t - startedAt), 7)}  `);
  const who = named
    ? [dim(`${cutMiddle(line.step, Math.floor(size.width / 3), look.glyphs.ellipsis)}  `)]
    : [];
  return printableLines(line.message).map((text, index) => [
    ...(index === 0 ? [clock, ...who] : [plain(" ".repeat(9))]),
    { text, ...(color && { color }) },
  ]);
}

/** A step's log, wrapped to the screen: what the log screen scrolls over. */
export function logScreenRows(step: StepState, startedAt: number, width: number): readonly Spans[] {
  const rows: Spans[] = [];
  const indent = 9;
  const room = Math.max(10, width - indent - 1);
  const dropped = step.logged - step.log.length;
  if (dropped > 0)
    rows.push([dim(`${" ".repeat(indent)}${formatCount(dropped)} earlier lines: ranflow log '${step.id}'`)]);
  for (const line of step.log) {
    const color = levelColors[line.level];
    wrapText(printableLines(line.message).join("\n"), room).forEach((text, index) => {
      const clock =
        index === 0 ? dim(`${padStart(formatClock(line.t - startedAt), 7)}  `) : plain(" ".repeat(indent));
      rows.push([clock, { text, ...(color && { color }) }]);
    });
  }
  if (step.error) {
    const words: readonly (readonly [string, string | undefined, Color | undefined])[] = [
      [step.phase === "failed" ? "failed " : "was    ", step.error.message, "red"],
      ["hint   ", step.error.hint, undefined],
      ["at     ", step.error.at, undefined],
      ["detail ", step.error.detail, undefined],
    ];
    rows.push([]);
    for (const [label, text, color] of words) {
      if (text === undefined) continue;
      wrapText(printableLines(text).join("\n"), room).forEach((part, index) => {
        rows.push([
          dim(index === 0 ? `  ${label}` : " ".repeat(indent)),
          { text: part, ...(color && { color }) },
        ]);
      });
    }
  }
  if (rows.length === 0) rows.push([dim("  nothing logged")]);
  return rows;
}
