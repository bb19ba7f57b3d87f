import { existsSync } from "node:fs";
import type { Digest } from "../engine/model/ids.ts";
import { StoreError } from "./errors.ts";
import type { Index } from "./index-db.ts";
import { readRoster } from "./rosters.ts";
import { runRecords, variantOf } from "./run-records.ts";
import { timeOfRun } from "./runs.ts";
import { keepReasons } from "./types.ts";
import type { KeepReason, KeptBy, ObjectStore, PipelineStatus, RosterEntry, RunRecord } from "./types.ts";

/** What is kept, and why. */
export interface Protection {
  /** Key of a result -> the strongest reason to keep it. */
  readonly reasons: ReadonlyMap<string, KeepReason>;
  readonly keptBy: KeptBy;
  readonly pipelines: readonly PipelineStatus[];
  /** Ids of runs whose records are kept. */
  readonly records: ReadonlySet<string>;
  /** Objects with the rosters of those runs and of the tags. */
  readonly rosters: ReadonlySet<Digest>;
}

/**
 * Decides which results are kept.
 *
 * A pipeline keeps what its last run had with each choice of profiles; where that was a run of a part, or did not come
 * to its end, the run before it counts too, step by step, back to the last whole one. So a step that an edit took out
 * of the grid stops being kept, while its results are found by age, or by the other runs since `oldest`, for some time.
 *
 * @param oldest ms since the epoch: what is younger is kept
 * @param forget names of pipelines that keep nothing
 * @throws StoreError where what a run or a tag names cannot be read
 */
export async function protection(
  { index, objects }: { readonly index: Index; readonly objects: ObjectStore },
  { oldest, forget = [] }: { readonly oldest: number; readonly forget?: readonly string[] },
): Promise<Protection> {
  const reasons = new Map<string, KeepReason>();
  const records = new Set<string>();
  const rosters = new Set<Digest>();
  const pipelines: PipelineStatus[] = [];
  const read = reader(objects);
  const keep = (key: string, reason: KeepReason): void => {
    if (!reasons.has(key) && index.results.doesExist(key)) reasons.set(key, reason);
  };

  const forgotten = new Set(forget);
  const all = runRecords(index).filter(({ pipeline }) => !forgotten.has(pipeline));
  const named = new Set(all.map(({ pipeline }) => pipeline));
  for (const runs of byPipeline(all)) {
    const { used, results } = await lastResults(runs, read);
    for (const { run, roster } of used) {
      records.add(run);
      rosters.add(roster);
    }
    const keys = new Set(results.values());
    for (const key of keys) keep(key, "pipeline");
    const [{ pipeline, profiles, path, endedAt: lastRun }] = runs as [RunRecord];
    pipelines.push({ pipeline, profiles, path, results: keys.size, lastRun });
  }
  // A pipeline of which no run has ended, or only under a version that kept no records: its pointers are what it has.
  for (const { value } of index.pointers.getRange()) {
    const [key, , pipeline] = value;
    if (!named.has(pipeline) && !forgotten.has(pipeline)) keep(key, "pipeline");
  }
  for (const { key: name, value } of index.tags.getRange()) {
    const [, , run, roster] = value;
    if (run !== "") records.add(run);
    rosters.add(roster);
    for (const [, key] of await read(roster, `the tag ${name}`)) keep(key, "tag");
  }
  for (const { run, endedAt, roster } of all) {
    if (endedAt <= oldest) continue;
    records.add(run);
    if (rosters.has(roster)) continue;
    rosters.add(roster);
    for (const [, key] of await read(roster, `the run ${run}`)) keep(key, "run");
  }
  for (const { value } of index.pointers.getRange()) {
    const [key, run, pipeline] = value;
    // Of a run that was killed before it could be recorded.
    if (!forgotten.has(pipeline) && (timeOfRun(run) ?? 0) > oldest) keep(key, "run");
  }
  for (const key of index.results.getKeys()) {
    const result = reasons.has(key) ? undefined : index.results.get(key);
    if (!result) continue;
    const { finishedAt, pulledAt = 0 } = result.provenance;
    if (Math.max(finishedAt, pulledAt) > oldest) keep(key, "young");
  }
  return { reasons, keptBy: countReasons(reasons), pipelines, records, rosters };
}

/**
 * Runs by pipeline and profiles, newest first: what was tried with small data does not stand for what took days. Two
 * files may have pipelines of one name; but where a file is gone, and the name was used since by one that is there, it
 * was moved, and keeps what it has under its new path.
 */
function byPipeline(all: readonly RunRecord[]): readonly (readonly RunRecord[])[] {
  const files = [...Map.groupBy(all, (record) => `${record.path}\0${variantOf(record)}`).values()];
  const stays = new Set<string>();
  return files.filter(([latest]) => {
    const variant = variantOf(latest as RunRecord);
    const isThere = existsSync((latest as RunRecord).path);
    if (!isThere && stays.has(variant)) return false;
    if (isThere) stays.add(variant);
    return true;
  });
}

/**
 * The last result of each step of a pipeline, from its runs, newest first: of the last one, and as long as that was
 * not whole, of the one before it.
 */
export async function lastResults(
  runs: readonly RunRecord[],
  read: (roster: Digest, whose: string) => Promise<readonly RosterEntry[]>,
): Promise<{ readonly used: readonly RunRecord[]; readonly results: ReadonlyMap<string, string> }> {
  const results = new Map<string, string>();
  const used: RunRecord[] = [];
  for (const record of runs) {
    used.push(record);
    for (const [step, key] of await read(record.roster, `the run ${record.run}`)) {
      if (!results.has(step)) results.set(step, key);
    }
    if (record.whole) break;
  }
  return { used, results };
}

/** Reads rosters; what one that cannot be read names must not go for garbage. */
function reader(objects: ObjectStore): (roster: Digest, whose: string) => Promise<readonly RosterEntry[]> {
  return async (roster, whose) => {
    const entries = await readRoster(objects, roster);
    if (entries) return entries;
    throw new StoreError("damaged", `the list of results of ${whose} (${roster}) is gone or damaged`, {
      hint: "run `ranflow cache verify --repair`, which forgets it",
    });
  };
}

function countReasons(reasons: ReadonlyMap<string, KeepReason>): KeptBy {
  const counts = new Map<KeepReason, number>();
  for (const reason of reasons.values()) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return Object.fromEntries(keepReasons.map((reason) => [reason, counts.get(reason) ?? 0])) as KeptBy;
}
