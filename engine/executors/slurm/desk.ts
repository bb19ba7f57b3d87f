import { join } from "node:path";
import { hasCheckpoint } from "../../worker/checkpoint.ts";
import type { ExecutionOutcome } from "../types.ts";
import type { Verdict } from "./policy.ts";
import type { Entry, Place, Submission } from "./types.ts";

/** What the executor works on, and the ways in which an entry leaves its place. */
export interface Desk {
  readonly storeRoot: string;
  /** Requests that have not ended. */
  readonly entries: Set<Entry>;
  /** By token. */
  readonly submissions: Map<string, Submission>;
  /** Slurm has lost records, as in a crash of its controller: it may give out the same numbers again. */
  lostRecords: boolean;
  /** `<store>/checkpoints/<key>` of an entry's step. */
  checkpoints(entry: Entry): string;
  put(entry: Entry, place: Place): void;
  /** Ends an entry; `kept` is where its result lies. */
  end(entry: Entry, outcome: ExecutionOutcome, kept?: Place): void;
  endCancelled(entry: Entry): Promise<void>;
  /** Does what was decided about a step whose worker is gone. */
  lose(entry: Entry, place: Place, verdict: Verdict): Promise<void>;
}

export function createDesk(storeRoot: string): Desk {
  const entries = new Set<Entry>();
  const checkpoints = ({ request }: Entry): string => join(storeRoot, "checkpoints", request.key);

  const end: Desk["end"] = (entry, outcome, kept) => {
    const { state } = entry;
    // Cancelled meanwhile.
    if (state.kind === "ended") return;
    if (state.kind === "placed") state.submission.entries.delete(state.index);
    entry.state = { kind: "ended", kept };
    entries.delete(entry);
    kept?.submission.kept.add(kept.index);
    entry.settle(outcome);
  };

  const endCancelled = async (entry: Entry): Promise<void> => {
    end(entry, { kind: "cancelled", checkpointed: await hasCheckpoint(checkpoints(entry)) });
  };

  return {
    storeRoot,
    entries,
    submissions: new Map(),
    lostRecords: false,
    checkpoints,
    put(entry, place) {
      place.submission.entries.set(place.index, entry);
      entry.state = { kind: "placed", ...place };
    },
    end,
    endCancelled,
    async lose(entry, { index, submission }, verdict) {
      // In this order: whenever a driver dies in between, no two workers can think that the step is theirs.
      await submission.files.tell(index, { kind: "cancel", request: index, how: "now" });
      await submission.files.drop(index, entry.id);
      submission.entries.delete(index);
      if (entry.state.kind === "ended") return;
      if (entry.cancelled) return endCancelled(entry);
      if (verdict.kind === "fail")
        return end(entry, { kind: "failed", error: verdict.error, transient: false });
      entry.losses = verdict.advanced ? 0 : entry.losses + 1;
      entry.remembers = false;
      entry.memory = 0;
      entry.reason = "";
      entry.state = { kind: "waiting" };
      entry.listener.log("warning", `${verdict.why}: submitted again`);
      entry.listener.pending?.("submitted again");
    },
  };
}
