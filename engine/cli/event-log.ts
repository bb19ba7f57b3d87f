/** The runs of a store, and their event logs, as `watch` and `replay` read them. */
import { existsSync } from "node:fs";
import { open, readdir } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as wait } from "node:timers/promises";
import { isRunEvent } from "../model/event-shape.ts";
import type { RunEvent } from "../model/events.ts";
import { err, ok } from "../model/result.ts";
import type { Result } from "../model/result.ts";
import { matchRun } from "./run-name.ts";

const pollInterval = 150;

/** A run that was found in a store. */
export interface FoundRun {
  readonly id: string;
  /** Absolute path of its `events.ndjson`. */
  readonly path: string;
}

/**
 * The run that a text means: an id or an unambiguous beginning of one, `latest`, or a tag; without a text the newest.
 * An error says what there is.
 */
export async function findRun(store: string, name: string | undefined): Promise<Result<FoundRun, string>> {
  const found = (id: string): FoundRun => ({ id, path: join(store, "runs", id, "events.ndjson") });
  const entries = await readdir(join(store, "runs")).catch(() => []);
  const ids = entries
    .filter((id) => existsSync(found(id).path))
    .toSorted()
    .toReversed();
  if (ids.length === 0)
    return err(`there is no run in the store ${store}; name another one with --store or RANFLOW_STORE`);
  const matched = matchRun(ids, (name && (await taggedRun(store, name))) ?? name);
  return matched.ok ? ok(found(matched.value)) : err(`${matched.error.message}; ${matched.error.hint}`);
}

/** The run whose results have a tag. */
async function taggedRun(root: string, name: string): Promise<string | undefined> {
  const { isTagName } = await import("../../cache/tags.ts");
  if (!isTagName(name)) return undefined;
  const { openStore } = await import("../../cache/store.ts");
  const store = await openStore({ root, readOnly: true });
  if (!store.ok) return undefined;
  try {
    return store.value.tag(name)?.run;
  } finally {
    await store.value.close();
  }
}

/** How a run began and ended. */
export interface RunEnds {
  readonly started?: RunEvent & { readonly type: "run-started" };
  /** Absent while it goes on, and where it was killed. */
  readonly finished?: RunEvent & { readonly type: "run-finished" };
  /** Its process is no more, as far as this machine can know. */
  readonly driverGone: boolean;
}

/** The first and the last event of a log, which may be long, without what stands between. */
export async function readEnds(path: string): Promise<RunEnds> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const [first] = parseEvent(await firstLine(file, size));
    const [last] = parseEvent(await lastLine(file, size));
    const started = first?.type === "run-started" ? first : undefined;
    return {
      ...(started && { started }),
      ...(last?.type === "run-finished" && { finished: last }),
      driverGone: started !== undefined && isGone(driverOf(started)),
    };
  } finally {
    await file.close();
  }
}

const piece = 1 << 16;

async function firstLine(file: FileHandle, size: number): Promise<string> {
  for (let length = piece; ; length *= 16) {
    const text = await textAt(file, 0, Math.min(length, size));
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
    if (length >= size) return text;
  }
}

async function lastLine(file: FileHandle, size: number): Promise<string> {
  for (let length = piece; ; length *= 16) {
    const text = (await textAt(file, Math.max(0, size - length), size)).trimEnd();
    const before = text.lastIndexOf("\n");
    if (before >= 0 || length >= size) return text.slice(before + 1);
  }
}

async function textAt(file: FileHandle, from: number, to: number): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(to - from), 0, to - from, from);
  return buffer.toString("utf8", 0, bytesRead);
}

/** How the reading of a log ended. */
export type LogEnd = "finished" | "driver-died" | "end-of-file" | "aborted";

export interface ReadOptions {
  /** Waits for more until the run is finished or its driver is dead. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
  /** Takes events as they come, several at once. */
  readonly onEvents: (events: readonly RunEvent[]) => void;
}

/**
 * Reads a run's events in order. A line that is being written is waited for; one that was torn by a crash is left
 * out. With `follow`, polls the file: notifications do not work on network file systems.
 */
export async function readEvents(path: string, { follow, signal, onEvents }: ReadOptions): Promise<LogEnd> {
  const file = await open(path, "r");
  try {
    const decoder = new StringDecoder("utf8");
    const buffer = Buffer.allocUnsafe(1 << 16);
    let rest = "";
    let driver: Driver | undefined;
    let goneBefore = false;
    while (!signal.aborted) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead > 0) {
        goneBefore = false;
        const lines = (rest + decoder.write(buffer.subarray(0, bytesRead))).split("\n");
        rest = lines.pop() ?? "";
        const events = lines.flatMap(parseEvent);
        for (const event of events) if (event.type === "run-started") driver = driverOf(event);
        if (events.length > 0) onEvents(events);
        if (follow && events.some((event) => event.type === "run-finished")) return "finished";
        continue;
      }
      if (!follow) return "end-of-file";
      const gone = driver !== undefined && isGone(driver);
      // What a driver wrote just before it went is read first: it counts as dead only when found gone twice.
      if (gone && goneBefore) return "driver-died";
      goneBefore = gone;
      await wait(pollInterval, undefined, { signal }).catch(() => undefined);
    }
    return "aborted";
  } finally {
    await file.close();
  }
}

interface Driver {
  readonly pid: number;
  readonly host: string | undefined;
}

function driverOf(event: RunEvent & { readonly type: "run-started" }): Driver {
  return { pid: event.pid, host: event.host };
}

/** True where the driver ran on this machine and its process is no more. Of other machines nothing is known. */
function isGone({ pid, host }: Driver): boolean {
  if (host !== undefined && host !== hostname()) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** The event of a line of a log; none where the line is damaged. */
export function parseEvent(line: string): readonly RunEvent[] {
  if (line.trim() === "") return [];
  try {
    const value: unknown = JSON.parse(line);
    return isRunEvent(value) ? [value] : [];
  } catch {
    return [];
  }
}
