/** A kill, drawn at random from a seed: who is killed, when, and what goes on at the same time. */
import type { Random } from "../../nodes/random.ts";

/** A moment, counted from the begin of a command. */
export interface Moment {
  /**
   * Milliseconds; lines of events that the command has printed; events of a type; lines of the ledger, which come right
   * before commits.
   */
  readonly after: "ms" | "events" | "ledger" | "step-started" | "step-succeeded";
  readonly count: number;
}

/** A command beside the run. */
export type Companion = "driver" | "gc" | "push" | "pull";

export type Fault = (
  | { readonly victim: "driver" | "worker"; readonly companion: CompanionPlan | undefined }
  | { readonly victim: "companion"; readonly companion: CompanionPlan }
) & {
  /** For a companion, counted from when that begins. */
  readonly when: Moment;
  /** The run shares its results through a folder, too. */
  readonly remote: boolean;
  /** The next run begins while workers of the killed driver may still be ending. */
  readonly hurry: boolean;
};

interface CompanionPlan {
  readonly command: Companion;
  readonly begins: Moment;
}

/** How long an undisturbed run is. */
export interface Extent {
  readonly ms: number;
  readonly events: number;
  readonly ledger: number;
}

export function drawFault(random: Random, extent: Extent): Fault {
  const rest = { remote: random.int(4) === 0, hurry: random.int(2) === 0 };
  const command = random.pick([undefined, undefined, undefined, "driver", "gc", "push", "pull"] as const);
  const companion = command && { command, begins: drawBegin(random, extent) };
  if (companion === undefined || random.int(2) === 0) {
    const victim = companion ? "driver" : random.pick(["driver", "driver", "worker"] as const);
    return { victim, companion, when: drawMoment(random, extent), ...rest };
  }
  // The other commands print no events.
  const isDriver = companion.command === "driver";
  const when = isDriver
    ? drawMoment(random, extent)
    : { after: "ms" as const, count: random.int(extent.ms / 3) };
  return { victim: "companion", companion, when, ...rest };
}

function drawMoment(random: Random, extent: Extent): Moment {
  const after = random.pick(["ms", "events", "ledger", "step-started", "step-succeeded"] as const);
  const limits = { ...extent, "step-started": 6, "step-succeeded": 6 };
  return { after, count: 1 + random.int(limits[after]) };
}

/** At once, or while steps are executed. */
function drawBegin(random: Random, extent: Extent): Moment {
  return random.int(2) === 0
    ? { after: "ms", count: 0 }
    : { after: "ledger", count: 1 + random.int(extent.ledger / 3) };
}

export function describeFault({ victim, when, companion, remote, hurry }: Fault): string {
  const moment = ({ after, count }: Moment): string => `${count} ${after}`;
  const parts = [
    `kill -9 of the ${victim} after ${moment(when)}`,
    companion && `beside a ${companion.command} that begins after ${moment(companion.begins)}`,
    remote && "with a shared folder",
    hurry && "the next one in a hurry",
  ];
  return parts.filter(Boolean).join(", ");
}
