import { appendFile, open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeFolder } from "../../cache/make-folder.ts";
import type { EventSink, RunEventBody } from "../model/events.ts";
import type { StepId } from "../model/ids.ts";
import { stepLogPath } from "./step-log.ts";

/**
 * A run's own record: the numbered event log, and a log for each step that has something to say. One that only begins
 * and succeeds has none: the events say the same, and thousands of small files would be most of what it costs.
 */
export interface Journal {
  /** Numbers and times an event, passes it on, and appends it to `events.ndjson`. */
  emit(body: RunEventBody): void;
  /** A line that the step's log begins with, once there is another one. */
  begin(step: StepId, text: string): void;
  /** Appends a line to the step's log. */
  line(step: StepId, text: string): void;
  /** The last line of a step's log, where it has one. */
  end(step: StepId, text: string): void;
  /** Waits until everything is written. Returns the first error, for instance a full disk: it stops no run. */
  close(): Promise<Error | undefined>;
}

/** Name of the event log in a run's folder. */
export const eventsFile = "events.ndjson";

/** Milliseconds that events wait to be written together: no reader of the file notices, and a write costs a step's time. */
const eventDelay = 20;
/** Milliseconds that lines of step logs wait to be written together: most steps then cost one write. */
const logDelay = 150;

/** @param now milliseconds since the epoch; a clock for tests */
export function openJournal(folder: string, sink: EventSink, now: () => number = Date.now): Journal {
  let problem: Error | undefined;
  let count = 0;
  const attempt = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      problem ??= error as Error;
    }
  };

  let file: Promise<FileHandle> | undefined;
  const events = batched<string>(eventDelay, (lines) =>
    attempt(async () => {
      file ??= open(join(folder, eventsFile), "a");
      await (await file).appendFile(lines.join(""));
    }),
  );

  const made = new Set<string>();
  const logs = batched<readonly [path: string, line: string]>(logDelay, async (lines) => {
    for (const [path, entries] of Map.groupBy(lines, ([path]) => path)) {
      await attempt(async () => {
        if (!made.has(dirname(path))) await makeFolder(dirname(path));
        made.add(dirname(path));
        await appendFile(path, entries.map(([, line]) => line).join(""));
      });
    }
  });

  /** First lines of logs that are not there yet; undefined for those that are. */
  const firstLines = new Map<StepId, string[] | undefined>();
  const write = (step: StepId, stamped: string): void => logs.add([stepLogPath(folder, step), stamped]);
  const stamp = (text: string): string => `${new Date(now()).toISOString()} ${text}\n`;

  return {
    emit(body) {
      const event = { ...body, n: count++, t: now() };
      events.add(`${JSON.stringify(event)}\n`);
      sink(event);
    },
    begin(step, text) {
      if (firstLines.has(step) && !firstLines.get(step)) write(step, stamp(text));
      else firstLines.set(step, [...(firstLines.get(step) ?? []), stamp(text)]);
    },
    line(step, text) {
      for (const first of firstLines.get(step) ?? []) write(step, first);
      firstLines.set(step, undefined);
      write(step, stamp(text));
    },
    end(step, text) {
      if (firstLines.has(step) && !firstLines.get(step)) write(step, stamp(text));
      firstLines.delete(step);
    },
    async close() {
      await Promise.all([events.drain(), logs.drain()]);
      if (file) await attempt(async () => (await file)?.close());
      return problem;
    },
  };
}

/** Collects items for so many milliseconds and writes them together, in order, one batch at a time. */
function batched<T>(
  delay: number,
  write: (items: readonly T[]) => Promise<void>,
): { add(item: T): void; drain(): Promise<void> } {
  let items: T[] = [];
  let timer: NodeJS.Timeout | undefined;
  let written: Promise<void> = Promise.resolve();
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    const batch = items;
    items = [];
    if (batch.length > 0) written = written.then(() => write(batch));
    return written;
  };
  return {
    add(item) {
      items.push(item);
      timer ??= setTimeout(flush, delay);
    },
    drain: flush,
  };
}
