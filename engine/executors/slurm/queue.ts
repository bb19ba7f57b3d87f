import type { RunCommand } from "./commands.ts";
import { jobName } from "./options.ts";

/** What Slurm says of an element of an array. */
export interface ElementState {
  /** Id of the array. */
  readonly job: string;
  /** In Slurm's words: `PENDING`, `RUNNING`, `NODE_FAIL`, ... */
  readonly state: string;
  readonly reason: string;
  readonly node: string;
}

/** Elements of a submission by number. */
export type Elements = ReadonlyMap<number, ElementState>;

/** One look at the queue; elements that ended a while ago are not in it. */
export interface QueueView {
  /** When it was asked for, ms since the epoch. */
  readonly at: number;
  /** Tokens of the submissions that were asked for. */
  readonly asked: ReadonlySet<string>;
  /** By token. */
  readonly submissions: ReadonlyMap<string, Elements>;
}

/** The queue as one `squeue` for all steps shows it. */
export interface Queue {
  /** The last look that succeeded. */
  readonly view: QueueView | undefined;
  /** Since when the controller does not answer, ms since the epoch, and what `squeue` said; undefined while it does. */
  readonly silent: { readonly since: number; readonly said: string } | undefined;
  /** Looks at these submissions, if it is time to. Resolves to whether it has looked. */
  look(tokens: readonly string[]): Promise<boolean>;
  /** Something is about to change: the next look comes soon. */
  hurry(): void;
}

/** Milliseconds between two looks: the first, and while nothing changes. */
export interface QueuePace {
  readonly shortest: number;
  readonly longest: number;
}

export const defaultPace: QueuePace = { shortest: 4_000, longest: 30_000 };
/** A controller that is slow is asked less: for so many times as long as its answer took, nothing is asked. */
const slowness = 20;

export function createQueue(run: RunCommand, pace: QueuePace): Queue {
  let wait = 0;
  let lookedAt = 0;
  let text = "";
  let view: QueueView | undefined;
  let silent: Queue["silent"];
  return {
    get view() {
      return view;
    },
    get silent() {
      return silent;
    },
    hurry() {
      wait = Math.min(wait, pace.shortest);
    },
    async look(tokens) {
      const at = Date.now();
      if (tokens.length === 0 || at - lookedAt < wait) return false;
      const { ok, stderr, stdout } = await run("squeue", [
        "--noheader",
        "--states=all",
        `--user=${process.geteuid?.()}`,
        `--name=${tokens.map(jobName).join(",")}`,
        `--format=${["%i", "%T", "%r", "%N", "%j"].join("|")}`,
      ]);
      lookedAt = Date.now();
      wait = Math.max(Math.min(wait * 1.5, pace.longest), pace.shortest);
      if (!ok) {
        wait = pace.longest;
        silent ??= { since: at, said: stderr };
        return true;
      }
      silent = undefined;
      if (stdout !== text) wait = pace.shortest;
      text = stdout;
      wait = Math.max(wait, Math.min(slowness * (lookedAt - at), 2 * pace.longest));
      view = { at, asked: new Set(tokens), submissions: parseQueue(stdout) };
      return true;
    },
  };
}

/** Lines of `%i|%T|%r|%N|%j`, where `%i` is `12_3`, or `12_[4-6,9%2]` for elements that wait together. */
export function parseQueue(text: string): ReadonlyMap<string, Elements> {
  const submissions = new Map<string, Map<number, ElementState>>();
  for (const line of text.split("\n")) {
    const [id = "", state = "", reason = "", node = "", name = ""] = line.trim().split("|");
    const token = name.startsWith(jobName("")) ? name.slice(jobName("").length) : undefined;
    const [job = "", elements = ""] = id.split("_");
    if (token === undefined) continue;
    const known = submissions.get(token) ?? new Map<number, ElementState>();
    submissions.set(token, known);
    // An array that was submitted twice: what lives counts.
    for (const element of numbers(elements)) {
      const before = known.get(element);
      if (!before || !isLive(before.state)) known.set(element, { job, state, reason, node });
    }
  }
  return submissions;
}

/** `4-6,9` as numbers; brackets, and a limit after `%`, are left out. */
function numbers(text: string): readonly number[] {
  return text
    .replace(/^\[|\]$/g, "")
    .replace(/%\d+$/, "")
    .split(",")
    .flatMap((part) => {
      const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(part) ?? [];
      if (first === undefined) return [];
      return Array.from({ length: Number(last ?? first) - Number(first) + 1 }, (_, i) => Number(first) + i);
    });
}

/** Numbers as `sbatch` and `scancel` take them: `0-3,7`. */
export function ranges(sorted: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < sorted.length;) {
    let end = i;
    while (sorted[end + 1] === (sorted[end] as number) + 1) end++;
    parts.push(end === i ? String(sorted[i]) : `${sorted[i]}-${sorted[end]}`);
    i = end + 1;
  }
  return parts.join(",");
}

const ended = new Set([
  "BOOT_FAIL",
  "CANCELLED",
  "COMPLETED",
  "DEADLINE",
  "FAILED",
  "NODE_FAIL",
  "OUT_OF_MEMORY",
  "PREEMPTED",
  "REVOKED",
  "TIMEOUT",
]);

/** Whether an element in this state will do, or goes on doing, something. */
export function isLive(state: string): boolean {
  return !ended.has(state);
}

/** Whether it has not begun. */
export function isPending(state: string): boolean {
  return state === "PENDING" || state.startsWith("REQUEUE") || state === "CONFIGURING";
}
