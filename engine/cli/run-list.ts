import { join } from "node:path";
import { timeOfRun } from "../../cache/runs.ts";
import type { Store } from "../../cache/types.ts";
import type { RunId } from "../model/ids.ts";
import { eventsFile } from "../run/journal.ts";
import { readEnds } from "./event-log.ts";
import { runCommand } from "./export/command.ts";

/** A run of a store, in short. */
export interface ListedRun {
  readonly run: RunId;
  readonly pipeline: string;
  /** ms since the epoch. */
  readonly startedAt: number;
  /** ms; absent where it has not ended, or was killed. */
  readonly duration?: number;
  /** `ended`: how it ended went with its log, which gc removed. */
  readonly outcome: "succeeded" | "failed" | "interrupted" | "running" | "killed" | "ended";
  /** The pipeline's file, and the command that ran it; absent where its log is gone. */
  readonly path?: string;
  readonly command?: string;
  readonly tags: readonly string[];
}

/** What is known of a run, from the ends of its log, else from the store's record. */
export async function describeRun(store: Store, run: RunId): Promise<ListedRun> {
  const record = store.runRecord(run);
  const tags = store.tags().flatMap((tag) => (tag.run === run ? tag.name : []));
  const log = await readEnds(join(store.runFolder(run), eventsFile)).catch(() => undefined);
  const startedAt = log?.started?.t ?? timeOfRun(run) ?? 0;
  if (!log?.started) {
    const { endedAt = startedAt, pipeline = "", whole = false } = record ?? {};
    const outcome = whole ? "succeeded" : "ended";
    return { run, pipeline, startedAt, duration: endedAt - startedAt, outcome, tags };
  }
  const { finished, started, driverGone } = log;
  const { axes = [], cwd, force, path, pipeline, profiles = [], sets, steps = [] } = started;
  return {
    run,
    pipeline,
    startedAt,
    ...(finished && { duration: finished.duration }),
    outcome: finished?.outcome ?? (driverGone ? "killed" : "running"),
    path,
    command: runCommand({ axes, cwd, ...(force && { force }), profiles, sets, steps }, path),
    tags,
  };
}
