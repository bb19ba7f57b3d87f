import { appendFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { EventSink, RunEventBody } from "../model/events.ts";
import type { StepId } from "../model/ids.ts";
import { stepLogPath } from "./step-log.ts";

/** A run's own record: the numbered event log and a log per step. */
export interface Journal {
  /** Numbers and times an event, passes it on, and appends it to `events.ndjson`. */
  emit(body: RunEventBody): void;
  /** Appends a line to the step's log. */
  line(step: StepId, text: string): void;
  /** Waits until everything is written. Returns the first error, for instance a full disk: it stops no run. */
  close(): Promise<Error | undefined>;
}

/** Name of the event log in a run's folder. */
export const eventsFile = "events.ndjson";

/** @param now milliseconds since the epoch; a clock for tests */
export function openJournal(folder: string, sink: EventSink, now: () => number = Date.now): Journal {
  const pending = new Map<string, string[]>();
  let writing: Promise<void> | undefined;
  let problem: Error | undefined;
  let count = 0;
  const made = new Set<string>();

  const writeAll = async (): Promise<void> => {
    while (pending.size > 0) {
      const batch = [...pending];
      pending.clear();
      for (const [path, lines] of batch) await write(path, lines.join(""));
    }
    writing = undefined;
  };
  const write = async (path: string, text: string): Promise<void> => {
    try {
      if (!made.has(dirname(path))) await mkdir(dirname(path), { recursive: true });
      made.add(dirname(path));
      await appendFile(path, text);
    } catch (error) {
      problem ??= error as Error;
    }
  };
  const append = (path: string, line: string): void => {
    const lines = pending.get(path);
    if (lines) lines.push(line);
    else pending.set(path, [line]);
    // Whatever comes up in one turn of the event loop is written together.
    writing ??= new Promise((resolve) => setImmediate(resolve)).then(writeAll);
  };

  const events = join(folder, eventsFile);
  return {
    emit(body) {
      const event = { ...body, n: count++, t: now() };
      append(events, `${JSON.stringify(event)}\n`);
      sink(event);
    },
    line(step, text) {
      append(stepLogPath(folder, step), `${new Date(now()).toISOString()} ${text}\n`);
    },
    async close() {
      while (writing) await writing;
      return problem;
    },
  };
}
