import type { RunEvent } from "../model/events.ts";
import type { Reporter } from "../model/reporter.ts";
import { initialRunState, reduce } from "../model/run-state.ts";
import { createOutput } from "../report/output.ts";
import { createPaint } from "../report/paint.ts";
import { summaryLines } from "../report/summary.ts";
import { hasColor } from "./look.ts";
import type { TuiOptions } from "./start.ts";

export type { TuiOptions } from "./start.ts";

/** A run that is over sooner, because its results are in the store, should not make the screen flash; ms. */
const defaultPatience = 250;

/**
 * Shows a run on the alternate screen until it is closed or left. Whatever happens, the terminal is as it was
 * afterwards: main screen, cursor, cooked mode; a summary stays there. Where the terminal goes away (SIGHUP), the
 * run's events are still taken and nothing is thrown. A run that is over within a moment shows its summary alone.
 */
export async function startTui({
  patience = defaultPatience,
  ...options
}: TuiOptions & {
  /** Until the screen is taken, ms. */
  readonly patience?: number;
}): Promise<Reporter> {
  const early: RunEvent[] = [];
  let reporter: Reporter | undefined;
  let opening: Promise<void> | undefined;
  const open = async (): Promise<void> => {
    const opened = await load(options);
    for (const event of early.splice(0)) opened.event(event);
    reporter = opened;
  };
  const timer = setTimeout(() => {
    opening = open();
  }, patience);
  return {
    event(event) {
      if (reporter) reporter.event(event);
      else early.push(event);
    },
    async close() {
      clearTimeout(timer);
      await opening;
      if (reporter) return reporter.close();
      const state = early.reduce(reduce, initialRunState);
      const color = options.color ?? hasColor(process.env);
      const output = createOutput(options.stdout, { color });
      const paint = createPaint(color);
      for (const line of summaryLines(state, paint)) output.line(line);
      await output.flush();
    },
  };
}

async function load(options: TuiOptions): Promise<Reporter> {
  // React picks its build when it is loaded, and the one for development takes several times as long for a frame.
  const before = process.env["NODE_ENV"];
  process.env["NODE_ENV"] ??= "production";
  const { openTui } = await import("./start.ts");
  if (before === undefined) delete process.env["NODE_ENV"];
  return openTui(options);
}
