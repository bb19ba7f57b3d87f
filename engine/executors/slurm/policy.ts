import type { StepError } from "../../model/events.ts";
import { bytes, duration } from "./words.ts";
import type { Shape } from "./options.ts";

/** What is known of a step whose worker is gone and has left no result. */
export interface Loss {
  /** Slurm's word for how the element ended; undefined where it knows nothing of it any more. */
  readonly state: string | undefined;
  /** `12_3`. */
  readonly element: string;
  readonly node: string;
  readonly shape: Shape;
  /** A worker had begun with the step. */
  readonly began: boolean;
  /** Since it began, a checkpoint was written: another attempt goes on from there. */
  readonly advanced: boolean;
  /** How Slurm told the worker to end, where the worker heard it. */
  readonly told: "time" | "end" | undefined;
  /** Slurm has lost records of other elements. */
  readonly lostRecords: boolean;
  /** This driver had Slurm end the element: for another step, or for none. */
  readonly byUs: boolean;
  /** Bytes that it was seen to hold at most; 0 where nobody looked. */
  readonly memory: number;
  /** The last lines that its worker printed. */
  readonly tail: string;
  /** How often the step was lost through no fault of its own, this time included, without getting any further. */
  readonly losses: number;
}

/** What becomes of a lost step. */
export type Verdict =
  | {
      readonly kind: "again";
      readonly why: string;
      /** It goes on from what was saved: that it was lost counts for nothing. */
      readonly advanced: boolean;
    }
  | { readonly kind: "fail"; readonly error: StepError };

/** A step that machines fail under so many times in a row may well be what fails them. */
const mostLosses = 3;

/**
 * Decides about a lost step: what is the cluster's doing (a node that failed, preemption) is submitted again, what the
 * step would meet again (memory, time without a checkpoint) fails with what to change, and what a person did stands.
 */
export function verdictOn(loss: Loss): Verdict {
  const { began, byUs, element, lostRecords, node, state, tail, told } = loss;
  const where = node === "" ? "" : ` on ${node}`;
  switch (state) {
    case "NODE_FAIL":
    case "BOOT_FAIL":
      return unlucky(loss, `node ${node || "of the step"} failed (${state})`);
    case "PREEMPTED":
      return { kind: "again", why: `preempted${where}`, advanced: true };
    case undefined:
      if (told === "time") return outOfTime(loss);
      return unlucky(loss, `Slurm has no record of ${element} any more, and it left no result`);
    case "TIMEOUT":
    case "DEADLINE":
      return outOfTime(loss);
    case "CANCELLED":
    case "REVOKED":
      if (byUs) return { kind: "again", why: `${element} was to end with another step`, advanced: true };
      // A node to which the number is known refuses it, and Slurm gives it up.
      if (lostRecords && !began) return unlucky(loss, `Slurm gave up ${element}, after it had lost records`);
      return fail({
        message: `${element} was cancelled from outside${where}`,
        hint: "somebody ended it with `scancel`, or the cluster did; run again to go on, from its checkpoint where it has one",
      });
    case "OUT_OF_MEMORY":
      return outOfMemory(loss);
    case "COMPLETED":
      if (told === "time") return outOfTime(loss);
      if (told === "end") return unlucky(loss, `${element} was told to end${where}`);
      return unlucky(loss, `${element} ended${where} and its result did not come to the shared folder`);
    default:
      if (tellsOfMemory(tail)) return outOfMemory(loss);
      return began ? crashed(loss) : neverBegan(loss);
  }
}

/** What becomes of a step that Slurm warned of its end, and that has saved. */
export const savedInTime: Verdict = {
  kind: "again",
  why: "was warned of its end, and has saved",
  advanced: true,
};

function unlucky({ advanced, losses }: Loss, why: string): Verdict {
  if (advanced || losses < mostLosses) return { kind: "again", why, advanced };
  return fail({
    message: `${why}; it was lost ${losses} times in a row`,
    hint: "look at the nodes with `sinfo -R`; `ranflow doctor --executor slurm` looks whether they can work at all",
  });
}

function outOfTime({ advanced, element, node, shape }: Loss): Verdict {
  const { time } = shape.options;
  const asked =
    time === undefined ? "the time that its partition gives" : `its ${duration(time)} (slurm.time)`;
  if (advanced)
    return { kind: "again", why: `${element} used up ${asked}, and goes on from its checkpoint`, advanced };
  return fail({
    kind: "timeout",
    message: `${element} used up ${asked}${node === "" ? "" : ` on ${node}`}, and saved no checkpoint meanwhile`,
    hint: "raise `slurm: { time: ... }` of the node, or lower --checkpoint-minutes where its type saves checkpoints",
  });
}

function outOfMemory({ element, memory, node, shape, tail }: Loss): Verdict {
  const asked = shape.resources.memory;
  const had =
    asked > 0
      ? `it asked for ${bytes(asked)}`
      : "it asked for no memory, and got what the cluster gives by default";
  const used = memory > 0 ? `, and held at least ${bytes(memory)}` : "";
  return fail({
    message: `${element} ran out of memory${node === "" ? "" : ` on ${node}`}: ${had}${used}`,
    hint: `give the node more, for instance \`resources: { memory: ${suggested(Math.max(asked, memory))} }\``,
    ...detailOf(tail),
  });
}

/** Whether Slurm's last words are that there was too little memory, where its state is only that something failed. */
export function tellsOfMemory(tail: string): boolean {
  return /oom[-_ ]kill|out of memory|exceeded .*memory limit|memory limit.*exceeded/i.test(tail);
}

/** Twice what was not enough, in whole GiB. */
function suggested(most: number): string {
  return `${Math.max(1, Math.ceil((2 * most) / 2 ** 30))}G`;
}

function crashed({ element, node, state, tail }: Loss): Verdict {
  const last = tail.split("\n").findLast((line) => line.trim() !== "");
  return fail({
    kind: "crash",
    message: `the worker of ${element} ended on ${node} without a result (${state})${last ? `: ${last.trim()}` : ""}`,
    hint: "`ranflow log STEP` has what it printed last; where it was killed, that is often for want of memory",
    ...detailOf(tail),
  });
}

function neverBegan({ element, node, state, tail }: Loss): Verdict {
  const last = tail.split("\n").findLast((line) => line.trim() !== "");
  return fail({
    kind: "crash",
    message: `no worker came up for ${element}${node === "" ? "" : ` on ${node}`} (${state})${last ? `: ${last.trim()}` : ""}`,
    hint: "`ranflow doctor --executor slurm` says what the nodes lack: the shared folder, this Node, ranflow itself",
    ...detailOf(tail),
  });
}

function detailOf(tail: string): Pick<StepError, "detail"> {
  return tail === "" ? {} : { detail: tail };
}

function fail(error: Omit<StepError, "kind"> & { readonly kind?: StepError["kind"] }): Verdict {
  return { kind: "fail", error: { kind: "cluster", ...error } };
}
