import { createHash } from "node:crypto";
import { join } from "node:path";
import type { RunEvent } from "../model/events.ts";

/** File names may have 255 bytes; what is longer keeps its beginning and gets a hash. */
const longest = 180;

/**
 * A file or folder name that stands for a text: itself where it is harmless, otherwise with the rest percent-encoded,
 * so that no name leads out of its folder and no two texts share one.
 */
export function safeName(text: string): string {
  const encoded = [...Buffer.from(text, "utf8")]
    .map((byte, i) => {
      const character = String.fromCharCode(byte);
      const harmless = /[A-Za-z0-9_=,+[\]-]/.test(character) || (character === "." && i > 0);
      return harmless ? character : `%${byte.toString(16).padStart(2, "0")}`;
    })
    .join("");
  if (encoded.length <= longest) return encoded;
  return `${encoded.slice(0, longest)}~${createHash("sha256").update(text).digest("hex").slice(0, 16)}`;
}

/** The line with which an attempt begins in a step's log. */
export function attemptLine({
  attempt,
  host,
  phase,
  worker,
}: Pick<Extract<RunEvent, { type: "step-started" }>, "attempt" | "host" | "phase" | "worker">): string {
  return `attempt ${attempt} (${phase}) in worker ${worker}${host === undefined ? "" : ` on ${host}`}`;
}

/** The line with which the log of a step ends that succeeded after so many milliseconds. */
export function succeededLine(duration: number): string {
  return `succeeded after ${duration} ms`;
}

/** The log of a step that only began and succeeded, as a run's events tell it; undefined where it did not execute. */
export function quietLog(events: readonly RunEvent[], step: string): string | undefined {
  let executed = false;
  const lines = events.flatMap((event) => {
    if (!("step" in event) || event.step !== step) return [];
    // A run that scanned a step's data and had its result says nothing of how that was made.
    executed ||= event.type === "step-started" && event.phase === "run";
    const line =
      event.type === "step-started"
        ? attemptLine(event)
        : event.type === "step-succeeded" && event.sharedWith === undefined
          ? succeededLine(event.duration)
          : undefined;
    return line === undefined ? [] : [`${new Date(event.t).toISOString()} ${line}\n`];
  });
  return executed ? lines.join("") : undefined;
}

/** Path of a step's log in a run's folder. The file is there once the step has something to say. */
export function stepLogPath(runFolder: string, stepId: string): string {
  return join(runFolder, "steps", `${safeName(stepId)}.log`);
}
