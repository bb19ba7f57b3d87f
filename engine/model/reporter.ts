import type { RunEvent } from "./events.ts";
import type { StepId } from "./ids.ts";

/** Shows a run to a person or a program, from its events alone. */
export interface Reporter {
  event(event: RunEvent): void;
  /** Shows the summary, gives the terminal back. */
  close(): Promise<void>;
}

/** What a person at the terminal may ask of a run that goes on. */
export interface RunControls {
  /** First call: start nothing new and let steps checkpoint. Second call: stop now. */
  stop(): void;
  /** Cancels one running step; what depends on it is skipped. */
  cancel(step: StepId): void;
  /** Queues failed steps again, and what was skipped because of them. */
  retryFailed(): void;
}
