import { join } from "node:path";
import type { Database } from "lmdb";
import { unreachable } from "../engine/model/result.ts";
import { checkpointProblem } from "./checkpoints.ts";
import { StoreError } from "./errors.ts";
import { removeEntries } from "./gc.ts";
import { isDigest } from "./hash.ts";
import { removeAll } from "./temporary.ts";
import type { Index } from "./index-db.ts";
import type { Leases } from "./leases.ts";
import type { IndexTable, ObjectStore, RepairReport, VerifyProblem } from "./types.ts";
import { objectProblem, readable } from "./verify.ts";

/**
 * Drops what was found to be bad, where it still is: objects with other bytes, results that are not whole, entries that
 * lead nowhere. What was dropped is made again by the next run that wants it; nothing good goes.
 *
 * @throws StoreError where another process uses the store, which may count on what would be dropped
 */
export async function repairStore(
  parts: { root: string; index: Index; objects: ObjectStore; leases: Leases },
  problems: readonly VerifyProblem[],
): Promise<RepairReport> {
  const { root, leases } = parts;
  const report = await leases.alone(leases.openings(), () => repairAlone(parts, problems));
  if (report) return report;
  throw new StoreError("io", `another ranflow uses the store ${root}: nothing was dropped`, {
    hint: "repair it when that one is done",
  });
}

async function repairAlone(
  { root, index, objects }: { root: string; index: Index; objects: ObjectStore },
  problems: readonly VerifyProblem[],
): Promise<RepairReport> {
  const entries = new Map<IndexTable, Set<string>>();
  const bad = new Set<string>();
  const left: VerifyProblem[] = [];
  const steps = new Set<string>();
  for (const problem of problems) {
    if (problem.drops.length === 0 || !(await isStill(index, objects, problem))) {
      left.push(problem);
      continue;
    }
    for (const drop of problem.drops) {
      if (drop.what === "object") bad.add(drop.digest);
      else if (drop.what === "checkpoint") await removeAll(join(root, "checkpoints", drop.path));
      else entries.set(drop.table, (entries.get(drop.table) ?? new Set()).add(drop.key));
    }
    if (executesAgain(problem)) for (const step of problem.neededBy) steps.add(step);
  }
  const results = [...(entries.get("results") ?? [])].filter((key) => index.results.doesExist(key));
  // A pointer to what is dropped would lead nowhere.
  const dropped = new Set(results);
  const pointers = entries.get("pointers") ?? new Set();
  for (const name of dropped.size > 0 ? index.pointers.getKeys() : []) {
    const key = readable(() => index.pointers.get(name))?.[0];
    if (key !== undefined && dropped.has(key)) pointers.add(name);
  }
  entries.set("pointers", pointers);

  let count = 0;
  for (const [table, keys] of entries) {
    await removeEntries(index, "drop what is damaged", index[table] as Database<unknown, string>, [...keys]);
    if (table !== "results" && table !== "away") count += keys.size;
  }
  for (const digest of bad) if (isDigest(digest)) await removeAll(objects.path(digest));
  return {
    dropped: { results: results.length, objects: bad.size, entries: count },
    steps: [...steps].toSorted(),
    left,
  };
}

/** A list of external files, for one, is needed by steps that need not execute for it. */
function executesAgain({ kind, drops }: VerifyProblem): boolean {
  return (
    kind === "dangling-pointer" || drops.some((drop) => drop.what === "entry" && drop.table === "results")
  );
}

/** Whether a problem is still there: a run may have mended it since it was found. */
async function isStill(
  index: Index,
  objects: ObjectStore,
  { kind, subject }: VerifyProblem,
): Promise<boolean> {
  switch (kind) {
    case "wrong-bytes":
    case "unreadable":
      if (!isDigest(subject)) return true;
      return (await objectProblem({ digest: subject, path: objects.path(subject) })) !== undefined;
    case "missing-object":
      return isDigest(subject) && !objects.has(subject);
    case "dangling-pointer":
      return !index.results.doesExist(subject);
    case "damaged-checkpoint":
      return (await checkpointProblem(join(objects.root, "checkpoints", subject))) !== undefined;
    case "wrong-record":
    case "dangling-tag":
    case "dangling-place":
      return true;
    default:
      return unreachable(kind);
  }
}
