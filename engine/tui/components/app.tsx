import { Box, useWindowSize } from "ink";
import type { ReactElement } from "react";
import type { RunControls } from "../../model/reporter.ts";
import { useKeys } from "../hooks/use-keys.ts";
import { useNow } from "../hooks/use-now.ts";
import { useRunState } from "../hooks/use-run-state.ts";
import { useUi } from "../hooks/use-ui.ts";
import { layout as layoutOf } from "../layout.ts";
import type { Look } from "../look.ts";
import { headerRows } from "../rows/header-rows.ts";
import { logScreenRows } from "../rows/log-rows.ts";
import type { RunStore } from "../store.ts";
import { Body } from "./body.tsx";
import { Footer } from "./footer.tsx";
import { Help } from "./help.tsx";
import { Line } from "./line.tsx";
import { LogScreen } from "./log-screen.tsx";

export interface AppProps {
  readonly store: RunStore;
  /** Absent where the UI only watches. */
  readonly controls: RunControls | undefined;
  readonly onLeave: () => void;
  /** Milliseconds since the epoch; a replay has its own time. */
  readonly clock: () => number;
  readonly look: Look;
}

/** The whole screen. */
export function App({ store, controls, onLeave, clock, look }: AppProps): ReactElement {
  const { columns, rows } = useWindowSize();
  const state = useRunState(store);
  const now = Math.max(useNow(clock), state.now);
  const { ui, view, onPress } = useUi(state, {
    controls,
    onLeave,
    measureLog: (seen) => ({
      page: Math.max(1, rows - 5),
      lines: seen.step ? logScreenRows(seen.step, seen.state.startedAt, columns).length : 0,
    }),
  });
  useKeys(onPress);
  const layout = layoutOf({
    width: columns,
    height: rows,
    nodes: view.rows.map(({ steps }) => steps.length),
    running: view.running.length,
    failed: view.failed.length,
    queued: state.counts.queued,
    timed: state.nodes.filter(({ executed }) => executed > 0).length,
  });
  const { width, body } = layout;
  return (
    <Box flexDirection="column" width={width} height={layout.rows} overflow="hidden">
      {headerRows(state, now, width, look)
        .slice(0, layout.header)
        .map((spans, index) => (
          <Line key={index} spans={spans} width={width} look={look} />
        ))}
      {ui.screen === "help" && (
        <Help width={width} rows={body} look={look} controls={controls !== undefined} />
      )}
      {ui.screen === "log" && view.step && (
        <LogScreen
          step={view.step}
          startedAt={state.startedAt}
          top={ui.logTop}
          width={width}
          rows={body}
          look={look}
        />
      )}
      {(ui.screen === "main" || (ui.screen === "log" && !view.step)) && (
        <Body view={view} now={now} layout={layout} look={look} />
      )}
      <Box flexGrow={1} />
      {layout.rows >= 3 && <Footer ui={ui} width={width} look={look} controls={controls !== undefined} />}
    </Box>
  );
}
