/** What `ranflow trace` can be asked about: a step, an output, a digest, a file that a run wrote. */
import { readFile, stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { digestFile, isDigest } from "../../cache/hash.ts";
import type { RosterEntry, Store } from "../../cache/types.ts";
import type { Digest, Key, StepId } from "../model/ids.ts";
import { err, ok } from "../model/result.ts";
import type { Result } from "../model/result.ts";
import type { Maker } from "../plan/makers.ts";
import { nodeOf } from "../plan/step-name.ts";
import { unnamed } from "../plan/trace.ts";
import { resultsFolder, stampName } from "../run/results.ts";
import type { RunProblem } from "./run-name.ts";
import { resultsOf } from "./run-results.ts";
import type { RunResults } from "./run-results.ts";

/** What was asked about, and the results that made it. */
export interface FoundArtifact {
  /** In words: `figures/auc.svg of sha256:ab..`. */
  readonly what: string;
  /** Where the question was about certain bytes. */
  readonly digest?: Digest;
  /** All that made it in the run; where a step's own folder was asked about, that step. */
  readonly makers: readonly Maker[];
  /** Other steps of the run that made the same bytes by other work. */
  readonly alike?: readonly StepId[];
  /** How many results that are none of the run's have the same bytes. */
  readonly elsewhere?: number;
  /** The run whose names and results are used; absent where none had it that is recorded. */
  readonly run?: RunResults;
  /** Something that the person should know. */
  readonly warning?: string;
}

type Found = Result<FoundArtifact, RunProblem>;

const stepsNamed = 8;

/** Finds what a text means, in the run that is named, else in the latest that has it. */
export async function findArtifact(store: Store, text: string, runName: string | undefined): Promise<Found> {
  const runs = await candidates(store, runName);
  if (!runs.ok) return runs;
  let alike: readonly string[] = [];
  for await (const run of runs.value) {
    const makers = stepMakers(run.entries, text, store);
    if (makers) return ok({ ...makers, run });
    if (alike.length === 0)
      alike = run.entries.flatMap(([step]) => (nodeOf(step) === nodeOf(text) ? step : []));
  }
  const prefix = /^(?:sha256:)?([0-9a-f]{6,64})$/.exec(text)?.[1];
  if (prefix !== undefined) {
    const found = await byHash(store, prefix, runs.value);
    if (found) return found;
  }
  const path = resolve(text);
  if (await stat(path).catch(() => undefined)) return byPath(store, path, runs.value);
  if (alike.length > 0) {
    return err({
      message: `there is no step ${text}`,
      hint: ["the steps of that node are:", ...alike.slice(0, stepsNamed)].join("\n  "),
    });
  }
  return err({
    message: `there is no step, result, digest or file ${text}`,
    hint: `give a step (in quotes), STEP.PORT, a digest or how it begins, or a file under ${join(store.root, "results")}`,
  });
}

/** The runs in which an artifact is looked for, the latest first; read one by one. */
async function candidates(
  store: Store,
  name: string | undefined,
): Promise<Result<AsyncIterable<RunResults>, RunProblem>> {
  const first = await resultsOf(store, name);
  // Results that were pulled belong to no run of this store.
  if (!first.ok && name !== undefined) return first;
  return ok({
    async *[Symbol.asyncIterator]() {
      const seen = new Set<Digest>();
      if (first.ok) yield first.value;
      if (name !== undefined) return;
      for (const { roster, run } of store.runRecords()) {
        if (seen.has(roster)) continue;
        seen.add(roster);
        const results = await resultsOf(store, run);
        if (results.ok) yield results.value;
      }
    },
  });
}

/** The results of a step, of all steps of a node, or of one output of theirs. */
function stepMakers(
  entries: readonly RosterEntry[],
  text: string,
  store: Store,
): Pick<FoundArtifact, "what" | "makers" | "digest"> | undefined {
  const named = (name: string): readonly Maker[] => {
    const exact = entries.filter(([step]) => step === name);
    const of = exact.length > 0 ? exact : entries.filter(([step]) => nodeOf(step) === name);
    return of.map(([step, key]) => ({ step, key }));
  };
  const steps = named(text);
  if (steps.length > 0) return { what: text, makers: steps };
  const [, name = "", port = ""] = /^(.*)\.([^.[\]]+)$/s.exec(text) ?? [];
  const makers = named(name).filter(({ key }) => store.result(key)?.outputs[port]);
  const [only] = makers;
  if (!only) return undefined;
  const digest = store.result(only.key)?.outputs[port]?.digest;
  return { what: text, makers, ...(makers.length === 1 && digest && { digest }) };
}

/** An output by its digest, or a result by its key, each in full or as an unambiguous beginning. */
async function byHash(
  store: Store,
  prefix: string,
  runs: AsyncIterable<RunResults>,
): Promise<Found | undefined> {
  const matching = new Map<string, Key[]>();
  for (const key of store.keys()) {
    if (key.startsWith(prefix)) add(matching, key, key);
    const outputs = Object.values(store.result(key)?.outputs ?? {}).map(({ digest }) => digest);
    for (const digest of new Set(outputs)) if (digest.startsWith(prefix, 7)) add(matching, digest, key);
  }
  const [first, ...others] = matching;
  if (!first) return undefined;
  if (others.length > 0) {
    const listed = [...matching.keys()].slice(0, 8);
    return err({ message: `several digests and keys begin with ${prefix}`, hint: listed.join("\n  ") });
  }
  const [name, keys] = first;
  return ok({
    what: isDigest(name) ? name : `the result ${name}`,
    ...(isDigest(name) && { digest: name }),
    ...(await named(keys, runs)),
  });
}

/** A file or folder that a run wrote under `results/`, or a copy of one. */
async function byPath(store: Store, path: string, runs: AsyncIterable<RunResults>): Promise<Found> {
  const stamped = await stampAbove(path);
  if (stamped) {
    const { digest, folder } = stamped;
    const makers = await makersOf(store, digest);
    const name = relative(folder, path).split(sep).join("/");
    const what = name === "" ? `${path}, ${digest}` : `${path}, ${name} of ${digest}`;
    const edited = name !== "" && (await isEdited(store, digest, name, path));
    if (makers.length === 0)
      return err({ message: `no result in ${store.root} made ${what}`, hint: "it may be of another store" });
    return ok({
      what,
      digest,
      ...(await named(makers, runs, (pipeline, step) =>
        isWithin(resultsFolder(store.root, pipeline, step), path),
      )),
      ...(edited && { warning: `${path} is not as ranflow wrote it: this is where what it wrote came from` }),
    });
  }
  if (!(await stat(path)).isFile())
    return err({ message: `${path} is a folder that no run wrote`, hint: "name a file" });
  const { digest } = await digestFile(path);
  const makers = await makersOf(store, digest, { inFolders: true });
  if (makers.length === 0) {
    return err({
      message: `no result in ${store.root} has the bytes of ${path}`,
      hint: "it was not made by a run of this store, or has been edited since",
    });
  }
  return ok({ what: `${path}, ${digest}`, digest, ...(await named(makers, runs)) });
}

/** What the folder that a file lies in says it is a copy of. */
async function stampAbove(path: string): Promise<{ folder: string; digest: Digest } | undefined> {
  for (let folder = path; dirname(folder) !== folder; folder = dirname(folder)) {
    const stamp = await readFile(join(folder, stampName), "utf8").catch(() => undefined);
    if (isDigest(stamp)) return { folder, digest: stamp };
  }
  return undefined;
}

async function isEdited(store: Store, folder: Digest, name: string, path: string): Promise<boolean> {
  const manifest = await store.objects.manifest(folder).catch(() => undefined);
  const file = manifest?.files[name];
  if (!manifest || !(await stat(path)).isFile()) return false;
  return (await digestFile(path)).digest !== file?.digest;
}

/** Keys of the results with an output of these bytes, or with one that has a file of them. */
async function makersOf(
  store: Store,
  wanted: Digest,
  { inFolders = false }: { readonly inFolders?: boolean } = {},
): Promise<readonly Key[]> {
  const isMade = async (output: Digest, kind: string): Promise<boolean> => {
    if (output === wanted) return true;
    if (!inFolders || kind !== "folder") return false;
    const manifest = await store.objects.manifest(output).catch(() => undefined);
    return Object.values(manifest?.files ?? {}).some(({ digest }) => digest === wanted);
  };
  const keys: Key[] = [];
  for (const key of store.keys()) {
    for (const { digest, kind } of Object.values(store.result(key)?.outputs ?? {}))
      if (await isMade(digest, kind)) keys.push(key);
  }
  return keys;
}

/**
 * The steps that had one of these results, in the latest run that had one; without a name where none had. A run with the
 * step that was asked about goes before others, and so does that step.
 *
 * @param isAsked whether the question was about this step of a pipeline, by its folder under `results/`
 */
async function named(
  keys: readonly Key[],
  runs: AsyncIterable<RunResults>,
  isAsked?: (pipeline: string, step: StepId) => boolean,
): Promise<Pick<FoundArtifact, "makers" | "run" | "alike" | "elsewhere">> {
  const wanted = new Set(keys);
  let latest: { readonly run: RunResults; readonly had: readonly Maker[] } | undefined;
  for await (const run of runs) {
    const had = run.entries.filter(([, key]) => wanted.has(key)).map(([step, key]) => ({ step, key }));
    if (had.length === 0) continue;
    const asked = had.find(({ step }) => isAsked?.(run.pipeline, step));
    if (asked) {
      const alike = had.filter(({ key }) => key !== asked.key).map(({ step }) => step);
      return { makers: [asked], run, alike, elsewhere: countElsewhere(wanted, had) };
    }
    latest ??= { run, had };
    if (!isAsked) break;
  }
  if (!latest) return { makers: keys.map((key) => ({ step: unnamed, key })) };
  return { makers: latest.had, run: latest.run, elsewhere: countElsewhere(wanted, latest.had) };
}

function countElsewhere(keys: ReadonlySet<Key>, had: readonly Maker[]): number {
  return keys.size - new Set(had.map(({ key }) => key)).size;
}

function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder + sep);
}

function add<K, V>(lists: Map<K, V[]>, name: K, value: V): void {
  const list = lists.get(name);
  if (list) list.push(value);
  else lists.set(name, [value]);
}
