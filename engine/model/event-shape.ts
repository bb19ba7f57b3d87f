import type { RunEvent } from "./events.ts";

/** `name?` may be absent; a list of one shape is a list of any length. */
type Shape = "text" | "number" | "truth" | readonly [Shape] | { readonly [name: string]: Shape };

const step = { step: "text" } as const;
const texts = ["text"] as const;

/** What the reducer and the reporters take for granted of each event. */
const shapes: Readonly<Record<RunEvent["type"], Shape>> = {
  "run-started": {
    run: "text",
    pipeline: "text",
    path: "text",
    sets: texts,
    "profiles?": texts,
    "force?": texts,
    cwd: "text",
    store: "text",
    "storeOption?": "text",
    version: "text",
    backend: "text",
    pid: "number",
    "host?": "text",
    slots: { cpu: "number", memory: "number", gpu: "number" },
  },
  "plan-ready": {
    nodes: [{ name: "text", type: "text", axes: texts, steps: texts }],
    statuses: texts,
    executions: { atLeast: "number", atMost: "number" },
    "selection?": { selected: "number", of: "number" },
  },
  "step-queued": { ...step, why: { kind: "text" }, "expected?": "number" },
  "step-pending": { ...step, reason: "text" },
  "step-scanned": step,
  "step-started": {
    ...step,
    attempt: "number",
    phase: "text",
    worker: "number",
    "host?": "text",
    "gpus?": ["number"],
  },
  "step-progress": { ...step, done: "number", total: "number", "unit?": "text", "series?": {} },
  "step-log": { ...step, level: "text", message: "text" },
  "steps-cached": { steps: texts, keys: texts },
  "step-cached": { ...step, key: "text" },
  "step-succeeded": { ...step, key: "text", duration: "number", "sharedWith?": "text", "metrics?": {} },
  "step-failed": {
    ...step,
    attempt: "number",
    duration: "number",
    error: { kind: "text", message: "text", "hint?": "text", "detail?": "text", "at?": "text" },
    willRetry: "truth",
  },
  "step-skipped": { ...step, because: "text" },
  "step-cancelled": { ...step, checkpointed: "truth" },
  "run-stopping": { how: "text" },
  "run-finished": {
    outcome: "text",
    duration: "number",
    results: [{ ...step, title: "text", "text?": "text", files: texts }],
    "lacking?": [{ ...step, what: "text", passing: "number" }],
  },
};

/**
 * Whether a value from an event log is an event. A log may be damaged, or come with a store from anybody; of kinds that
 * this version does not know, only number and time are looked at.
 */
export function isRunEvent(value: unknown): value is RunEvent {
  if (!fits(value, { type: "text", n: "number", t: "number" })) return false;
  const { type } = value as { readonly type: string };
  return !Object.hasOwn(shapes, type) || fits(value, shapes[type as RunEvent["type"]]);
}

function fits(value: unknown, shape: Shape): boolean {
  if (shape === "text") return typeof value === "string";
  if (shape === "number") return typeof value === "number";
  if (shape === "truth") return typeof value === "boolean";
  if (isList(shape)) return Array.isArray(value) && value.every((item) => fits(item, shape[0]));
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.entries(shape).every(([entry, inner]) => {
    const name = entry.replace(/\?$/, "");
    const field = (value as Readonly<Record<string, unknown>>)[name];
    return (field === undefined && name !== entry) || fits(field, inner);
  });
}

function isList(shape: Shape): shape is readonly [Shape] {
  return Array.isArray(shape);
}
