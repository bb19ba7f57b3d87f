import type { Reporter } from "../model/reporter.ts";
import type { Outcome } from "./exit.ts";
import { drawnOutput } from "./output.ts";
import { openReporter } from "./reporter.ts";
import type { UiKind } from "./reporter.ts";

/** A run that is looked at from outside. */
export interface ViewedRun {
  readonly reporter: Reporter;
  /** Aborts when the person has seen enough. */
  readonly signal: AbortSignal;
  /** How the run ended; undefined while it has not. */
  outcome(): Outcome | undefined;
}

/** Opens a reporter that only looks: `q` and Ctrl-C end the looking, never the run. */
export async function viewReporter(options: {
  readonly ui: UiKind;
  readonly clock?: () => number;
}): Promise<ViewedRun> {
  const enough = new AbortController();
  const leave = (): void => enough.abort();
  process.once("SIGINT", leave);
  const reporter = await openViewer(options, leave);
  let outcome: Outcome | undefined;
  return {
    signal: enough.signal,
    reporter: {
      event(event) {
        if (event.type === "run-finished") outcome = event.outcome;
        reporter.event(event);
      },
      async close() {
        process.off("SIGINT", leave);
        await reporter.close();
      },
    },
    outcome: () => outcome,
  };
}

async function openViewer(
  { ui, clock }: { readonly ui: UiKind; readonly clock?: () => number },
  leave: () => void,
): Promise<Reporter> {
  if (ui !== "ink")
    return openReporter(ui, { stop: leave, cancel: () => undefined, retryFailed: () => undefined });
  const { startTui } = await import("../tui/index.ts");
  return startTui({
    stdin: process.stdin,
    stdout: drawnOutput(),
    afterLeave: "nothing",
    onLeave: leave,
    ...(clock && { clock }),
  });
}
