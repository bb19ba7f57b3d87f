import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { RosterEntry, Store } from "../../cache/types.ts";
import type { RunId } from "../model/ids.ts";
import { err, ok } from "../model/result.ts";
import type { Result } from "../model/result.ts";
import { eventsFile } from "../run/journal.ts";
import { readEvents } from "./event-log.ts";
import { matchRun } from "./run-name.ts";
import type { RunProblem } from "./run-name.ts";

/** The results that a run had, or that a tag names. */
export interface RunResults {
  /** As it was named: an id, or `tag (id)`. */
  readonly label: string;
  /** Absent for a tag that came from somebody else. */
  readonly run?: RunId;
  readonly pipeline: string;
  /** When the run ended or the tag was set, ms since the epoch. */
  readonly at: number;
  /** False where the run was one of a part of its pipeline, or did not come to its end. */
  readonly whole: boolean;
  readonly entries: readonly RosterEntry[];
}

/** The results of the run or the tag that a text means. */
export async function resultsOf(
  store: Store,
  name: string | undefined,
): Promise<Result<RunResults, RunProblem>> {
  const tag = name === undefined ? undefined : store.tag(name);
  if (tag) {
    const entries = await store.roster(tag.roster);
    if (!entries) return err(lostList(`the tag ${tag.name}`));
    const { run, pipeline, at } = tag;
    const whole = (run && store.runRecord(run)?.whole) ?? true;
    const label = run === undefined ? tag.name : `${tag.name} (${run})`;
    return ok({ label, ...(run && { run }), pipeline, at, whole, entries });
  }
  const found = matchRun(await runIds(store), name);
  if (!found.ok) return tagHint(store, found.error);
  const run = found.value as RunId;
  const record = store.runRecord(run);
  if (!record) return unrecorded(store, run);
  const entries = await store.roster(record.roster);
  if (!entries) return err(lostList(`run ${run}`));
  const { pipeline, endedAt: at, whole } = record;
  return ok({ label: run, run, pipeline, at, whole, entries });
}

/** Runs that are recorded, or whose log is there, newest first. */
export async function runIds(store: Store): Promise<readonly RunId[]> {
  const recorded = store.runRecords().map(({ run }) => run);
  const logged = await Promise.all(
    (await store.runs()).map(async (run) => {
      const found = await stat(join(store.runFolder(run), eventsFile)).catch(() => undefined);
      return found ? [run] : [];
    }),
  );
  return [...new Set([...recorded, ...logged.flat()])].toSorted().toReversed();
}

/** A run that goes on or was killed, or whose record gc removed: what it has finished is in its event log. */
async function unrecorded(store: Store, run: RunId): Promise<Result<RunResults, RunProblem>> {
  const keys = new Map<RosterEntry[0], RosterEntry[1]>();
  let pipeline = "";
  let at = 0;
  let isPart = false;
  let succeeded = false;
  await readEvents(join(store.runFolder(run), eventsFile), {
    follow: false,
    signal: new AbortController().signal,
    onEvents: (events) => {
      for (const event of events) {
        at = event.t;
        if (event.type === "run-started") pipeline = event.pipeline;
        if (event.type === "plan-ready") isPart = event.selection !== undefined;
        if (event.type === "run-finished") succeeded = event.outcome === "succeeded";
        if (event.type === "steps-cached")
          event.steps.forEach((step, i) => keys.set(step, event.keys[i] as RosterEntry[1]));
        if (event.type === "step-cached" || event.type === "step-succeeded") keys.set(event.step, event.key);
      }
    },
  });
  const entries = [...keys].filter(([step]) => !step.includes("#"));
  return ok({ label: run, run, pipeline, at, whole: succeeded && !isPart, entries });
}

function lostList(whose: string): RunProblem {
  return {
    message: `the list of results of ${whose} is gone or damaged`,
    hint: "`ranflow cache verify` says what else is; run the pipeline again, and name that run",
  };
}

function tagHint(store: Store, { message, hint }: RunProblem): Result<never, RunProblem> {
  const tags = store.tags().map(({ name }) => name);
  return err({
    message: message,
    hint: tags.length > 0 ? `${hint}\n  and the tags: ${tags.slice(0, 12).join(", ")}` : hint,
  });
}
