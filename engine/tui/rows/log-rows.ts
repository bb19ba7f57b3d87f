import type { LogLine, StepState } from "../../model/run-state.ts";
import { formatClock, formatCount, printableLines } from "../../report/format.ts";
import type { PaneSize } from "../layout.ts";
import type { Color, Look } from "../look.ts";
import { dim, plain } from "../spans.ts";
import type { Spans } from "../spans.ts";
import { padStart, shortId, wrapText } from "../text.ts";

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
  const who = named ? [dim(`${shortId(line.step, Math.floor(size.width / 3), look.glyphs.ellipsis)}  `)] : [];
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
