import type { ReactElement } from "react";
import { formatDuration } from "../../report/format.ts";
import type { StepState } from "../../model/run-state.ts";
import type { Look } from "../look.ts";
import { cellColors } from "../look.ts";
import { logScreenRows } from "../rows/log-rows.ts";
import { dim, plain } from "../spans.ts";
import type { Spans } from "../spans.ts";
import { shortId } from "../text.ts";
import { Pane } from "./pane.tsx";

export interface LogScreenProps {
  readonly step: StepState;
  /** Time the run began, ms since the epoch. */
  readonly startedAt: number;
  /** First line in view; undefined follows the tail. */
  readonly top: number | undefined;
  readonly width: number;
  readonly rows: number;
  readonly look: Look;
}

/** One step's log over the whole body, like a pager that follows. */
export function LogScreen({ step, startedAt, top, width, rows, look }: LogScreenProps): ReactElement | null {
  const lines = logScreenRows(step, startedAt, width);
  const page = Math.max(1, rows - 1);
  const last = Math.max(0, lines.length - page);
  const from = Math.min(top ?? last, last);
  const place =
    top === undefined || lines.length <= page
      ? "follows the log"
      : `${from + 1}-${Math.min(lines.length, from + page)} of ${lines.length}`;
  const took = step.duration === undefined ? "" : ` in ${formatDuration(step.duration)}`;
  const title: Spans = [
    plain(shortId(step.id, Math.max(10, width - 44), look.glyphs.ellipsis)),
    { text: `  ${look.glyphs.cell[step.phase]} ${step.phase}`, color: cellColors[step.phase] },
    dim(`${took}  ${place}`),
  ];
  return (
    <Pane
      title={title}
      focused
      size={{ width, rows: page }}
      rows={lines.slice(from, from + page)}
      look={look}
    />
  );
}
