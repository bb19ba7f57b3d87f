import { render } from "ink";
import { createElement } from "react";
import type { ReadStream, WriteStream } from "node:tty";
import type { Reporter, RunControls } from "../model/reporter.ts";
import { createPaint } from "../report/paint.ts";
import { createPlainReporter } from "../report/plain.ts";
import { createOutput } from "../report/output.ts";
import { summaryLines } from "../report/summary.ts";
import { App } from "./components/app.tsx";
import { guardTerminal } from "./guard.ts";
import { createLook, hasColor, isUnicodeTerminal } from "./look.ts";
import { createRunStore } from "./store.ts";

export interface TuiOptions {
  readonly stdin: ReadStream;
  readonly stdout: WriteStream;
  /** What keys may ask of the run; undefined where the UI only watches. */
  readonly controls?: RunControls | undefined;
  /** Called once when the person leaves the UI before the run is over. */
  readonly onLeave?: (() => void) | undefined;
  /** After leaving: `plain` lines go on (the default), or `nothing`. */
  readonly afterLeave?: "plain" | "nothing";
  /** Milliseconds since the epoch; a replay has its own time. */
  readonly clock?: () => number;
  /** Default: from LC_ALL, LC_CTYPE and LANG. */
  readonly unicode?: boolean;
  /** Default: unless NO_COLOR. */
  readonly color?: boolean;
}

/** Takes the terminal and renders the run on it; see `startTui`. */
export function openTui(options: TuiOptions): Reporter {
  const { stdin, stdout, controls, clock = Date.now } = options;
  const color = options.color ?? hasColor(process.env);
  const unicode = options.unicode ?? isUnicodeTerminal(process.env, process.platform);
  const store = createRunStore();
  const guard = guardTerminal();
  let plain: Reporter | undefined;
  let up = true;

  const takeDown = (): void => {
    if (!up) return;
    up = false;
    store.stop();
    process.off("uncaughtExceptionMonitor", takeDown);
    process.off("exit", takeDown);
    try {
      instance.unmount();
    } catch {
      // A terminal that is gone cannot be restored, and the run does not need it.
    }
    const held = guard.release();
    if (held.length > 0) process.stderr.write(held.join(""));
  };

  const leave = (): void => {
    if (!up) return;
    takeDown();
    if (options.afterLeave !== "nothing")
      plain = createPlainReporter({ stream: stdout, color, interactive: true, state: store.current() });
    options.onLeave?.();
  };

  // Node reports an uncaught error before it exits: without this, the report would go down with the screen.
  process.on("uncaughtExceptionMonitor", takeDown);
  process.on("exit", takeDown);
  const instance = render(
    createElement(App, { store, controls, onLeave: leave, clock, look: createLook({ unicode, color }) }),
    {
      stdin,
      stdout,
      exitOnCtrlC: false,
      patchConsole: false,
      interactive: true,
      alternateScreen: true,
      incrementalRendering: true,
      maxFps: 15,
    },
  );
  // These stay: a terminal that hung up reports an error for every later write, and none may end the run.
  stdout.on("error", takeDown);
  stdin.on("error", takeDown);
  instance.waitUntilExit().catch(() => takeDown());

  return {
    event(event) {
      store.event(event);
      plain?.event(event);
    },
    async close() {
      if (plain) return plain.close();
      const wasUp = up;
      takeDown();
      if (!wasUp) return;
      const output = createOutput(stdout, { color });
      for (const line of summaryLines(store.current(), createPaint(color))) output.line(line);
      await output.flush();
    },
  };
}
