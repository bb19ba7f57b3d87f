import { readFile } from "node:fs/promises";
import type { Digest } from "../engine/model/ids.ts";
import type { StoredResult } from "../engine/model/plan.ts";
import { isDigest } from "./hash.ts";
import type { Index } from "./index-db.ts";
import { parseManifest } from "./objects.ts";
import { blobsMentionedIn, blobsMentionedInValue } from "./reach.ts";
import { recordProblem } from "./record.ts";
import { parseRoster } from "./rosters.ts";
import type { Drop, IndexTable, ObjectStore, VerifyProblem } from "./types.ts";
import type { BadObject } from "./verify.ts";

/** A problem, with the keys of the results that it concerns. */
export interface Finding extends Omit<VerifyProblem, "neededBy"> {
  readonly results: ReadonlySet<string>;
}

type Table = { readonly get: (key: string) => unknown; readonly getKeys: () => Iterable<string> };

/** Follows every reference of the index. `bad` are the objects whose bytes are not what they should be. */
export async function auditIndex(
  { index, objects }: { readonly index: Index; readonly objects: ObjectStore },
  bad: ReadonlyMap<Digest, BadObject>,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const results = await auditResults(index, objects, bad, findings);
  const { lost, sound } = results;
  /** Entries that go with an object, beside the results that need it. */
  const besides = new Map<Digest, Drop[]>();
  const loses = (digest: Digest, table: IndexTable, key: string): void => {
    besides.set(digest, [...(besides.get(digest) ?? []), { what: "entry", table, key }]);
    if (!lost.has(digest)) lost.set(digest, { results: new Set(), wanted: true });
  };
  const isLost = (digest: Digest): boolean => bad.has(digest) || !objects.has(digest);

  for (const [key, entry] of entriesOf(index, "memo", findings)) {
    const [value] = entry as readonly [unknown];
    for (const digest of new Set(blobsMentionedInValue(value))) {
      if (isLost(digest) && index.locators.get(digest) === undefined) loses(digest, "memo", key);
    }
  }
  for (const table of ["runs", "tags"] as const) {
    for (const [name, entry] of entriesOf(index, table, findings)) {
      const roster = (entry as readonly unknown[]).at(table === "runs" ? 4 : 3);
      if (!isDigest(roster)) findings.push(unreadable(table, name));
      else if (isLost(roster)) loses(roster, table, name);
      else findings.push(...(await auditRoster({ index, objects, sound }, { table, name, roster })));
    }
  }
  auditPointers(index, sound, findings);
  auditPlaces(index, findings);
  for (const table of ["stats", "durations"] as const) for (const _ of entriesOf(index, table, findings));

  for (const digest of new Set([...bad.keys(), ...lost.keys()])) {
    const problem = bad.get(digest);
    const { results: needers = new Set<string>(), wanted = false } = lost.get(digest) ?? {};
    const drops: Drop[] = [
      ...(problem ? [{ what: "object", digest } as const] : []),
      ...[...needers].flatMap((key) => dropResult(key)),
      ...(besides.get(digest) ?? []),
    ];
    const kind = problem?.kind ?? "missing-object";
    const again =
      needers.size === 0 && !wanted ? "; the next run that reads external files writes it again" : "";
    const message = problem?.message ?? `${objects.path(digest)} is not there${again}`;
    findings.push({
      kind,
      subject: digest,
      message,
      drops,
      results: new Set([...needers, ...results.readers(digest)]),
    });
  }
  return findings;
}

/** A result goes with its mark of bytes that are elsewhere; its pointers stay, and say what changed when it is back. */
function dropResult(key: string): readonly Drop[] {
  return [
    { what: "entry", table: "results", key },
    { what: "entry", table: "away", key },
  ];
}

interface Lost {
  /** Keys of the results that are not whole without it. */
  readonly results: Set<string>;
  /** False for a list of external files: it is written again by whoever reads the files. */
  readonly wanted: boolean;
}

interface Results {
  readonly lost: Map<Digest, Lost>;
  /** Keys whose records can be read and are right. */
  readonly sound: ReadonlySet<string>;
  /** Keys of results that read an external list. */
  readers(list: Digest): readonly string[];
}

async function auditResults(
  index: Index,
  objects: ObjectStore,
  bad: ReadonlyMap<Digest, BadObject>,
  findings: Finding[],
): Promise<Results> {
  const lost = new Map<Digest, Lost>();
  const readers = new Map<Digest, string[]>();
  const sound = new Set<string>();
  const mentions = new Map<Digest, readonly Digest[]>();
  const isLost = (digest: Digest): boolean => bad.has(digest) || !objects.has(digest);
  const lose = (digest: Digest, key: string): void => {
    const entry = lost.get(digest) ?? { results: new Set(), wanted: true };
    entry.results.add(key);
    lost.set(digest, entry);
  };

  for (const key of index.results.getKeys()) {
    const record = read(index, "results", key);
    // Forgotten by a collection that goes on at the same time.
    if (record.ok && record.value === undefined) continue;
    const problem = record.ok ? recordProblem(key, record.value) : "cannot be read";
    if (problem !== undefined) {
      findings.push({
        kind: "wrong-record",
        subject: key,
        message: `the result ${key.slice(0, 12)} ${problem}`,
        drops: dropResult(key),
        results: new Set([key]),
      });
      continue;
    }
    sound.add(key);
    const { outputs, fingerprint } = (record as { value: StoredResult }).value;
    const away = index.away.doesExist(key);
    const missing = new Set<Digest>();
    for (const { digest, kind } of Object.values(outputs)) {
      if (isLost(digest)) {
        missing.add(digest);
        continue;
      }
      const files = kind === "folder" ? await filesIn(objects, digest) : [digest];
      if (files === undefined) {
        const message = `the result ${key.slice(0, 12)} names ${digest} as a folder, which it is not`;
        findings.push({
          kind: "wrong-record",
          subject: key,
          message,
          drops: dropResult(key),
          results: new Set([key]),
        });
        continue;
      }
      for (const file of files) {
        if (isLost(file)) {
          missing.add(file);
          continue;
        }
        const mentioned = mentions.get(file) ?? [...(await blobsMentionedIn(objects.path(file)))];
        mentions.set(file, mentioned);
        for (const blob of mentioned) {
          if (isLost(blob) && index.locators.get(blob) === undefined) missing.add(blob);
        }
      }
    }
    // What was left in a shared folder is not lost; what came and is damaged since is.
    for (const digest of missing) if (bad.has(digest) || !away) lose(digest, key);
    const list = fingerprint.external?.digest;
    if (list !== undefined && isLost(list) && !away) {
      readers.set(list, [...(readers.get(list) ?? []), key]);
      if (!lost.has(list)) lost.set(list, { results: new Set(), wanted: false });
    }
  }
  return { lost, sound, readers: (list) => readers.get(list) ?? [] };
}

async function filesIn(objects: ObjectStore, manifest: Digest): Promise<readonly Digest[] | undefined> {
  try {
    const { files } = parseManifest(await readFile(objects.path(manifest), "utf8"), manifest);
    return Object.values(files).map(({ digest }) => digest);
  } catch {
    return undefined;
  }
}

/** A list of results that names some that are gone. A run's list may: it tells what was, and keeps what is left. */
async function auditRoster(
  { index, objects, sound }: { index: Index; objects: ObjectStore; sound: ReadonlySet<string> },
  { table, name, roster }: { table: "runs" | "tags"; name: string; roster: Digest },
): Promise<readonly Finding[]> {
  const entries = parseRoster(await readFile(objects.path(roster), "utf8"));
  if (!entries) return [unreadable(table, name)];
  const gone = entries.filter(([, key]) => !sound.has(key) && !index.results.doesExist(key));
  if (table === "runs" || gone.length === 0) return [];
  const some = gone.slice(0, 3).map(([step]) => step);
  return [
    {
      kind: "dangling-tag",
      subject: name,
      message: `the tag ${name} names ${gone.length} results that are gone (${some.join(", ")}${gone.length > 3 ? ", ..." : ""}); a run that makes them again mends it`,
      drops: [],
      results: new Set(gone.map(([, key]) => key)),
    },
  ];
}

function auditPointers(index: Index, sound: ReadonlySet<string>, findings: Finding[]): void {
  for (const [name, entry] of entriesOf(index, "pointers", findings)) {
    const [key, run, pipeline, step] = entry as readonly string[];
    if (key === undefined || sound.has(key) || index.results.doesExist(key)) continue;
    findings.push({
      kind: "dangling-pointer",
      subject: key,
      message: `the last result ${key.slice(0, 12)} of ${pipeline}: ${step} (run ${run}) is not in the index`,
      drops: [{ what: "entry", table: "pointers", key: name }],
      results: new Set([key]),
    });
  }
}

/** Where external files lie: entries that lead to no folder, which the next scan records anew. */
function auditPlaces(index: Index, findings: Finding[]): void {
  const sources = new Set(Array.from(entriesOf(index, "sources", findings), ([number]) => number));
  const dangling = (table: IndexTable, key: string): void => {
    findings.push({
      kind: "dangling-place",
      subject: key,
      message: `the place of ${key} is in a folder that is not in the index`,
      drops: [{ what: "entry", table, key }],
      results: new Set(),
    });
  };
  for (const [key, entry] of entriesOf(index, "registered", findings)) {
    if (!sources.has(String((entry as readonly unknown[])[0]))) dangling("registered", key);
  }
  for (const [key, entry] of entriesOf(index, "locators", findings)) {
    const places = entry as readonly (readonly [number, string])[];
    if (!places.some(([source]) => sources.has(String(source)))) dangling("locators", key);
  }
  for (const [key] of entriesOf(index, "away", findings)) {
    if (!index.results.doesExist(key)) dangling("away", key);
  }
}

/** The entries of a table that can be read, all of them lists or texts; the others become findings. */
function* entriesOf(
  index: Index,
  table: IndexTable,
  findings: Finding[],
): Generator<readonly [key: string, value: unknown]> {
  for (const key of (index[table] as Table).getKeys()) {
    const entry = read(index, table, key);
    if (entry.ok && entry.value === undefined) continue;
    const sound =
      entry.ok && (table === "away" ? typeof entry.value === "string" : Array.isArray(entry.value));
    if (sound) yield [key, entry.value];
    else findings.push(unreadable(table, key));
  }
}

function unreadable(table: IndexTable, key: string): Finding {
  return {
    kind: "unreadable",
    subject: key,
    message: `the entry ${key} of the index (${table}) cannot be read`,
    drops: [{ what: "entry", table, key }],
    results: new Set(),
  };
}

type Read = { readonly ok: true; readonly value: unknown } | { readonly ok: false };

function read(index: Index, table: IndexTable, key: string): Read {
  try {
    return { ok: true, value: (index[table] as Table).get(key) };
  } catch {
    return { ok: false };
  }
}
