import { Box } from "ink";
import type { ReactElement } from "react";
import { logTail, queuedSteps } from "../../model/run-state.ts";
import { formatCount } from "../../report/format.ts";
import type { Layout } from "../layout.ts";
import type { Look } from "../look.ts";
import { logPaneRows } from "../rows/log-rows.ts";
import { nodePaneRows } from "../rows/node-rows.ts";
import { runningPaneRows } from "../rows/running-rows.ts";
import { failedPaneRows, queuePaneRows } from "../rows/step-rows.ts";
import { timePaneRows } from "../rows/time-rows.ts";
import { dim, plain } from "../spans.ts";
import type { Spans } from "../spans.ts";
import { shortId } from "../text.ts";
import type { View } from "../view.ts";
import { Pane } from "./pane.tsx";

export interface BodyProps {
  readonly view: View;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly layout: Layout;
  readonly look: Look;
}

/** The panes of the main screen, in one column or two. */
export function Body({ view, now, layout, look }: BodyProps): ReactElement {
  const { state } = view;
  const nodes = (
    <Pane
      title={nodesTitle(view, layout, look)}
      focused={view.focus === "nodes"}
      size={layout.nodes}
      rows={nodePaneRows(view, layout.nodes, look)}
      look={look}
    />
  );
  const failed = (
    <Pane
      title={[{ text: "Failed", color: "red" }, dim(` ${formatCount(view.failed.length)}`)]}
      focused={view.focus === "failed"}
      size={layout.failed}
      rows={failedPaneRows(view, layout.failed, look)}
      look={look}
    />
  );
  const running = (
    <Pane
      title={runningTitle(view, layout)}
      focused={view.focus === "running"}
      size={layout.running}
      rows={runningPaneRows(view, now, layout.running, look)}
      look={look}
    />
  );
  const queue = (
    <Pane
      apart
      title={[plain("Queue"), dim(` ${formatCount(state.counts.queued)}`)]}
      size={layout.queue}
      rows={queuePaneRows(queuedSteps(state, layout.queue.rows), layout.queue, look)}
      look={look}
    />
  );
  const time = (
    <Pane
      apart
      title={[plain("Where the time goes")]}
      size={layout.time}
      rows={timePaneRows(state, layout.time, look)}
      look={look}
    />
  );
  const log = (
    <Pane
      title={[plain("Log"), dim(view.step ? ` ${view.step.id}` : " of all steps")]}
      size={layout.log}
      rows={logPaneRows(logTail(state, view.step?.id, layout.log.rows), {
        size: layout.log,
        startedAt: state.startedAt,
        named: view.step === undefined,
        look,
      })}
      look={look}
    />
  );
  if (layout.columns === 1) {
    return (
      <Box flexDirection="column" height={layout.body} flexShrink={0} overflow="hidden">
        {nodes}
        {failed}
        {running}
        {log}
      </Box>
    );
  }
  return (
    <Box height={layout.body} flexShrink={0} overflow="hidden">
      <Box flexDirection="column" width={layout.nodes.width + 3} flexShrink={0}>
        {nodes}
        {queue}
        {time}
      </Box>
      <Box flexDirection="column" width={layout.log.width} flexShrink={0}>
        {failed}
        {running}
        {log}
      </Box>
    </Box>
  );
}

function nodesTitle(view: View, layout: Layout, look: Look): Spans {
  const row = view.rows[view.row];
  const hidden = view.rows.length - layout.nodes.rows;
  const title: Spans = [
    plain("Nodes"),
    dim(hidden > 0 ? ` ${formatCount(view.rows.length)}, ${formatCount(hidden)} not shown` : ""),
  ];
  if (view.step && row) {
    const room = layout.nodes.width - 30;
    return [
      ...title,
      dim(` ${look.glyphs.dot} `),
      plain(shortId(view.step.id, room, look.glyphs.ellipsis)),
      dim(` ${view.step.phase}`),
    ];
  }
  if (!row) return [...title, dim(view.state.nodes.length > 0 ? ": nothing matches the filter" : "")];
  const axes = row.node.axes.length > 0 ? ` over ${row.node.axes.join(", ")}` : "";
  return [...title, dim(` ${look.glyphs.dot} ${row.node.name}: ${row.node.type}${axes}`)];
}

function runningTitle(view: View, layout: Layout): Spans {
  const { slots, counts } = view.state;
  const more = view.running.length - layout.running.rows;
  const gpu = slots.gpu > 0 ? `, ${slots.gpu} gpu` : "";
  return [
    plain("Running"),
    dim(` ${formatCount(counts.running)} on ${formatCount(slots.cpu)} cpu${gpu}`),
    dim(more > 0 ? `, ${formatCount(more)} not shown` : ""),
    dim(layout.columns === 1 && counts.queued > 0 ? `, ${formatCount(counts.queued)} queued` : ""),
  ];
}
