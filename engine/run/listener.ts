import type { ExecutionListener } from "../executors/types.ts";
import type { Step } from "../model/grid.ts";
import type { Journal } from "./journal.ts";
import type { Taken } from "./slots.ts";
import { attemptLine } from "./step-log.ts";
import type { Work } from "./step-state.ts";

export interface ListenerOptions {
  readonly journal: Journal;
  readonly step: Step;
  readonly work: Work;
  readonly taken: Taken;
  readonly onStart: () => void;
}

/** Puts into events and the step's log what is heard of a step while it is served. */
export function listenerFor({ journal, step, work, taken, onStart }: ListenerOptions): ExecutionListener {
  const attempt = work.failures + 1;
  const phase = work.action.kind;
  return {
    pending(reason) {
      journal.emit({ type: "step-pending", step: step.id, reason });
    },
    started(worker, place) {
      onStart();
      const gpus = place?.gpus ?? taken.gpus;
      journal.begin(step.id, attemptLine({ attempt, phase, worker, ...(place && { host: place.node }) }));
      journal.emit({
        type: "step-started",
        step: step.id,
        attempt,
        phase,
        worker,
        ...(place && { host: place.node }),
        ...(gpus.length > 0 && { gpus }),
      });
    },
    progress({ done, total, unit, series }) {
      journal.emit({
        type: "step-progress",
        step: step.id,
        done,
        total,
        ...(unit !== undefined && { unit }),
        ...(series && { series }),
      });
    },
    log(level, message) {
      journal.line(step.id, `${level} ${message}`);
      journal.emit({ type: "step-log", step: step.id, level, message });
    },
    output: (line) => journal.line(step.id, `| ${line}`),
  };
}
