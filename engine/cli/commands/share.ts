import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { PullReport } from "../../../cache/remote/pull.ts";
import type { PushReport } from "../../../cache/remote/push.ts";
import type { Ref } from "../../../cache/remote/refs.ts";
import { variantOf } from "../../../cache/run-records.ts";
import type { RosterEntry, RunRecord, Store } from "../../../cache/types.ts";
import type { Key } from "../../model/ids.ts";
import { formatBytes, plural } from "../../report/format.ts";
import { exitCodes } from "../exit.ts";
import { collect } from "../inspect.ts";
import { matchRun } from "../run-name.ts";
import { print, progressLine, refuseInput, storeOptions, withStore } from "../store-command.ts";
import type { StoreCommandOptions } from "../store-command.ts";

interface ShareOptions extends StoreCommandOptions {
  readonly pipeline: readonly string[];
  readonly run?: string;
  readonly tag?: string;
  readonly all?: boolean;
  readonly withData?: boolean;
}

/** Adds `push` and `pull` to `ranflow cache`. */
export function registerSharing(cache: Command): void {
  shareOptions(cache.command("push"))
    .summary("copy results to a folder, for others or for safety")
    .description(
      "Copies results with all their bytes to a folder (a network file system, a disk, something that rsync carries): " +
        "by default what the last runs of all pipelines had. What is there already is not copied again, and any " +
        "number of people may push at once.",
    )
    .option("--with-data", "also copy the external files (datasets) that the results were made from")
    .action((folder: string, options: ShareOptions) =>
      withStore(options, { readOnly: false }, (store) => push(store, resolve(folder), options)),
    );

  shareOptions(cache.command("pull"))
    .summary("take results from a folder that others pushed to")
    .description(
      "Takes results with all their bytes from a folder that `ranflow cache push` or `ranflow run --remote` filled: by " +
        "default those of all pipelines that were pushed. Everything is hashed before it counts.",
    )
    .option("--with-data", "also take the external files (datasets) that were pushed with the results")
    .action((folder: string, options: ShareOptions) =>
      withStore(options, { readOnly: false, make: true }, (store) => pull(store, resolve(folder), options)),
    );
}

function shareOptions(command: Command): Command {
  return storeOptions(command)
    .argument("<folder>", "the shared folder")
    .option("--pipeline <name>", "the results of this pipeline's last run; may be repeated", collect, [])
    .option("--run <id>", "the results of this run (its id, or how that begins)")
    .option("--tag <name>", "the results of this tag")
    .option("--all", "every result there is");
}

async function push(store: Store, folder: string, options: ShareOptions): Promise<void> {
  const chosen = await refsToPush(store, options);
  if (chosen === undefined) return;
  const [{ removeUnfinished }, { makeRemote }, { pushResults }, { putRef }] = await Promise.all([
    import("../../../cache/remote/files.ts"),
    import("../../../cache/remote/folder.ts"),
    import("../../../cache/remote/push.ts"),
    import("../../../cache/remote/refs.ts"),
  ]);
  const remote = await makeRemote(folder);
  await removeUnfinished(folder);
  const report = await pushResults({ store, remote }, [...chosen.keys], {
    withData: options.withData ?? false,
    onProgress: progressLine("pushing", options),
  });
  // After the results: who finds a reference finds what it names.
  for (const ref of chosen.refs) await putRef(remote, ref);
  print(options, report, pushText(report, folder));
}

interface Chosen {
  readonly refs: readonly Ref[];
  readonly keys: ReadonlySet<Key>;
}

/** What the options name in the store; undefined where that was refused. */
async function refsToPush(store: Store, options: ShareOptions): Promise<Chosen | undefined> {
  const { lastResults } = await import("../../../cache/protection.ts");
  const read = async (digest: Parameters<Store["roster"]>[0]): Promise<readonly RosterEntry[]> =>
    (await store.roster(digest)) ?? [];
  const refs: Ref[] = [];
  const keys = new Set<Key>();
  if (options.tag !== undefined) {
    const tag = store.tag(options.tag);
    const known = store.tags().map(({ name }) => name);
    if (!tag) return refused(`there is no tag ${options.tag}`, known);
    const { name, pipeline, run, roster } = tag;
    refs.push({ kind: "tags", name, pipeline, ...(run && { run }), entries: await read(roster) });
  }
  const records = store.runRecords();
  if (options.run !== undefined) {
    const matched = matchRun(
      records.map(({ run }) => run),
      options.run,
    );
    if (!matched.ok) {
      refuseInput(matched.error.message, matched.error.hint);
      return undefined;
    }
    const { run, pipeline, roster } = records.find((record) => record.run === matched.value) as RunRecord;
    refs.push({ kind: "runs", name: run, pipeline, run, entries: await read(roster) });
  }
  const isNamed = options.tag !== undefined || options.run !== undefined;
  const pipelines = Map.groupBy(records, ({ pipeline }) => pipeline);
  const unknown = options.pipeline.find((name) => !pipelines.has(name));
  if (unknown !== undefined)
    return refused(`no run of a pipeline ${unknown} is known`, [...pipelines.keys()]);
  for (const [pipeline, runs] of pipelines) {
    if (options.pipeline.length > 0 ? !options.pipeline.includes(pipeline) : isNamed) continue;
    const [latest, ...others] = Map.groupBy(runs, variantOf).values();
    const { results } = await lastResults(latest ?? [], read);
    const entries = [...results].map(([step, key]) => [step, key] as unknown as RosterEntry);
    refs.push({
      kind: "pipelines",
      name: pipeline,
      pipeline,
      ...(latest?.[0] && { run: latest[0].run }),
      entries,
    });
    for (const other of others) {
      for (const key of (await lastResults(other, read)).results.values()) keys.add(key as Key);
    }
  }
  for (const { entries } of refs) for (const [, key] of entries) keys.add(key);
  if (options.all) for (const key of store.keys()) keys.add(key);
  if (keys.size === 0) return refused("the store has no results to push", []);
  return { refs, keys };
}

async function pull(store: Store, folder: string, options: ShareOptions): Promise<void> {
  if (!existsSync(folder)) {
    return refuseInput(
      `there is no shared folder ${folder}`,
      `\`ranflow cache push ${folder}\` makes one; is the disk mounted?`,
    );
  }
  const [{ openRemote }, { pointToPulled, pullResults }, { readRef, readRefs }] = await Promise.all([
    import("../../../cache/remote/folder.ts"),
    import("../../../cache/remote/pull.ts"),
    import("../../../cache/remote/refs.ts"),
  ]);
  const remote = openRemote(folder);
  const refs: Ref[] = [];
  const named = [
    ...options.pipeline.map((name) => ["pipelines", name] as const),
    ...(options.tag === undefined ? [] : [["tags", options.tag] as const]),
    ...(options.run === undefined ? [] : [["runs", options.run] as const]),
  ];
  for (const [kind, name] of named) {
    const ref = await readRef(remote, kind, name);
    if (!ref) {
      const known = (await readRefs(remote, kind)).map((other) => other.name);
      return refused(`${folder} has none of the ${kind} called ${name}`, known);
    }
    refs.push(ref);
  }
  if (named.length === 0) refs.push(...(await readRefs(remote, "pipelines")));
  const keys = new Set(refs.flatMap(({ entries }) => entries.map(([, key]) => key)));
  if (options.all) for (const key of remote.keys()) keys.add(key);
  if (keys.size === 0) {
    return refused(`${folder} names no results; --all takes whatever was pushed there`, []);
  }
  const tag = options.tag === undefined ? undefined : store.tag(options.tag);
  const tagged = refs.find(({ kind }) => kind === "tags");
  if (tag && tagged && !(await isSame(store, tag.roster, tagged))) {
    return refused(
      `this store has another tag ${tag.name}; delete it first: ranflow tag --delete ${tag.name}`,
      [],
    );
  }
  const report = await pullResults({ store, remote }, [...keys], {
    withData: options.withData ?? false,
    onProgress: progressLine("pulling", options),
  });
  for (const { kind, name, pipeline, run, entries } of refs) {
    const here = entries.filter(([, key]) => store.result(key) !== undefined);
    await pointToPulled(store, pipeline, here);
    if (kind === "tags") await store.setTag({ name, pipeline, ...(run && { run }) }, here);
  }
  print(options, report, pullText(report, folder));
  if (report.missing > 0 || report.refused.length > 0) process.exitCode = exitCodes.stepFailed;
}

async function isSame(store: Store, roster: Parameters<Store["roster"]>[0], ref: Ref): Promise<boolean> {
  return JSON.stringify(await store.roster(roster)) === JSON.stringify(ref.entries);
}

function refused(message: string, known: readonly string[]): undefined {
  refuseInput(message, known.length > 0 ? `there are: ${known.slice(0, 12).join(", ")}` : undefined);
}

function pushText(report: PushReport, folder: string): string {
  const { results, there, incomplete, objects, bytes, changed } = report;
  const data = changed.slice(0, 5).map((name) => `  ${name}`);
  return [
    `pushed ${plural(results, "result")} to ${folder}: ${plural(objects, "object")}, ${formatBytes(bytes)}`,
    ...(there > 0 ? [`${plural(there, "result")} ${there === 1 ? "was" : "were"} there already`] : []),
    ...(incomplete > 0
      ? [
          `${plural(incomplete, "result")} left out: their bytes are not in this store (a run makes them again)`,
        ]
      : []),
    ...(changed.length > 0
      ? [`${plural(changed.length, "external file")} left out: gone, or not as when they were read`, ...data]
      : []),
  ].join("\n");
}

function pullText({ results, here, missing, objects, bytes, refused }: PullReport, folder: string): string {
  return [
    `pulled ${plural(results, "result")} from ${folder}: ${plural(objects, "object")}, ${formatBytes(bytes)}`,
    ...(here > 0 ? [`${plural(here, "result")} ${here === 1 ? "was" : "were"} here already`] : []),
    ...(missing > 0
      ? [`${plural(missing, "result")} ${missing === 1 ? "is" : "are"} not there, or not whole`]
      : []),
    ...(refused.length > 0 ? [`${plural(refused.length, "file")} refused:`] : []),
    ...refused.slice(0, 12).map((message) => `  ${message}`),
    ...(refused.length > 12 ? [`  ... and ${refused.length - 12} more`] : []),
  ].join("\n");
}
