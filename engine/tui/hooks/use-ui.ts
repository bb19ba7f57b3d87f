import { useCallback, useMemo, useRef, useState } from "react";
import type { RunControls } from "../../model/reporter.ts";
import type { RunState } from "../../model/run-state.ts";
import { initialUi, press } from "../ui-state.ts";
import type { Effect, Press, UiState } from "../ui-state.ts";
import { nodeRows, viewOf } from "../view.ts";
import type { View } from "../view.ts";

export interface Ui {
  readonly ui: UiState;
  readonly view: View;
  readonly onPress: (press: Press) => void;
}

export interface UiOptions {
  readonly controls: RunControls | undefined;
  readonly onLeave: () => void;
  /** Rows of a page of the log, and lines of the log in view after wrapping. */
  readonly measureLog: (view: View) => { readonly page: number; readonly lines: number };
}

/** The UI's own state: what is selected, open and typed. */
export function useUi(state: RunState, options: UiOptions): Ui {
  const [ui, setUi] = useState(initialUi);
  const rows = useMemo(() => nodeRows(state, ui.filter), [state.index, ui.filter]);
  const view = viewOf(state, ui, rows);
  // Several keys may come before the next render: each must see what the one before it did.
  const latest = useRef({ ui, state, options });
  latest.current = { ui, state, options };
  const onPress = useCallback((key: Press) => {
    const now = latest.current;
    const seen = viewOf(now.state, now.ui, nodeRows(now.state, now.ui.filter));
    const { page, lines } = now.options.measureLog(seen);
    const context = { view: seen, page, logLines: lines, controls: now.options.controls !== undefined };
    const pressed = press(now.ui, key, context);
    latest.current = { ...now, ui: pressed.ui };
    setUi(pressed.ui);
    if (pressed.effect) carryOut(pressed.effect, now.options);
  }, []);
  return { ui, view, onPress };
}

function carryOut(effect: Effect, { controls, onLeave }: UiOptions): void {
  switch (effect.kind) {
    case "stop":
      return controls?.stop();
    case "retry":
      return controls?.retryFailed();
    case "cancel":
      return controls?.cancel(effect.step);
    case "leave":
      return onLeave();
    default:
      effect satisfies never;
  }
}
