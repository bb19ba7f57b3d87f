import type { RunId } from "../engine/model/ids.ts";
import type { Index, RunEntry } from "./index-db.ts";
import type { RunRecord } from "./types.ts";

/** A run's record from its entry in the index. */
export function runRecordOf(run: string, entry: RunEntry): RunRecord {
  const [pipeline, path, endedAt, whole, roster, profiles = []] = entry;
  return { run: run as RunId, pipeline, path, endedAt, whole, roster, profiles };
}

/** A text that two runs share where they ran a pipeline of one name with the same profiles, wherever its file was. */
export function variantOf({ pipeline, profiles }: Pick<RunRecord, "pipeline" | "profiles">): string {
  return [pipeline, ...profiles].join("\0");
}

/** All records, newest first. */
export function runRecords(index: Index): readonly RunRecord[] {
  const records = Array.from(index.runs.getRange(), ({ key, value }) => runRecordOf(key, value));
  // Ids sort by when runs began; of two that went on at once, the one that ended last is the newer.
  return records.toSorted((a, b) => b.endedAt - a.endedAt || (a.run < b.run ? 1 : -1));
}
