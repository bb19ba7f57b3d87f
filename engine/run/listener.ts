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
    started(worker) {
      onStart();
      journal.begin(step.id, attemptLine({ attempt, phase, worker }));
      journal.emit({
        type: "step-started",
        step: step.id,
        attempt,
        phase,
        worker,
        ...(taken.gpus.length > 0 && { gpus: taken.gpus }),
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
