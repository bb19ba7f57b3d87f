import type { Command } from "commander";
import type { RosterEntry, Store, Tag } from "../../../cache/types.ts";
import type { RunId } from "../../model/ids.ts";
import { plural } from "../../report/format.ts";
import { resultsOf } from "../run-results.ts";
import type { RunResults } from "../run-results.ts";
import { print, refuseInput, storeOptions, withStore } from "../store-command.ts";
import type { StoreCommandOptions } from "../store-command.ts";

interface TagOptions extends StoreCommandOptions {
  readonly delete?: boolean;
  readonly force?: boolean;
}

/** `ranflow tag [NAME] [RUN|STEP...]`: names results, so that gc keeps them and other commands find them. */
export function register(program: Command): void {
  storeOptions(program.command("tag"))
    .summary("name the results of a run or of steps, so that gc keeps them")
    .description(
      "Without a name, lists the tags. With one, tags the results of a run (its id, how that begins, or another " +
        "tag; default: the latest), or those of steps of the latest run with everything they were made from. Other " +
        "commands take the tag where they take a run.",
    )
    .argument("[name]", "letters, digits and `._+-`")
    .argument("[of...]", "a run, or ids of steps (in quotes)")
    .option("--force", "move a tag that there is already")
    .option("--delete", "take the tag away; its results go with the next gc, if nothing else keeps them")
    .action((name: string | undefined, of: readonly string[], options: TagOptions) => {
      if (name === undefined && options.delete)
        return refuseInput("which tag? ranflow tag --delete NAME", "`ranflow tag` lists them");
      const readOnly = name === undefined;
      return withStore(options, { readOnly }, async (store) => {
        if (name === undefined) return list(store, options);
        if (options.delete) return remove(store, name, of, options);
        return set(store, name, of, options);
      });
    });
}

async function list(store: Store, options: TagOptions): Promise<void> {
  const tags = await Promise.all(
    store.tags().map(async (tag) => ({ ...tag, results: (await store.roster(tag.roster))?.length ?? null })),
  );
  const lines = tags.map(({ name, pipeline, run, at, results }) => {
    const what = results === null ? "its results are lost" : plural(results, "step");
    const of = run === undefined ? pipeline : `${pipeline}, run ${run}`;
    return `${name}  ${what} of ${of}, tagged ${new Date(at).toISOString().slice(0, 10)}`;
  });
  print(
    options,
    tags,
    lines.length > 0 ? lines.join("\n") : "there are no tags; `ranflow tag NAME` sets one",
  );
}

async function remove(store: Store, name: string, of: readonly string[], options: TagOptions): Promise<void> {
  if (of.length > 0) return refuseInput("--delete takes the name of a tag and nothing else");
  if (!(await store.deleteTag(name))) return refuseInput(`there is no tag ${name}`, known(store));
  print(options, { deleted: name }, `deleted the tag ${name}`);
}

async function set(store: Store, name: string, of: readonly string[], options: TagOptions): Promise<void> {
  const { isTagName } = await import("../../../cache/tags.ts");
  if (!isTagName(name)) {
    return refuseInput(
      `${JSON.stringify(name)} cannot name a tag`,
      "a tag is 1 to 100 letters, digits and `._+-`, begins with a letter or digit, and looks like no run's id",
    );
  }
  const before = store.tag(name);
  if (before && !options.force) {
    return refuseInput(
      `there is a tag ${name} already, of ${before.run === undefined ? before.pipeline : `run ${before.run}`}`,
      "--force moves it; or choose another name",
    );
  }
  const found = await findRun(store, of);
  if (found === undefined) return;
  const { steps } = found;
  const { entries, pipeline, run } = found.of;
  const chosen = steps.length === 0 ? entries : await withUpstream(store, entries, steps);
  if (chosen === undefined) return;
  const gone = chosen.filter(([, key]) => store.result(key) === undefined).length;
  if (gone > 0) {
    return refuseInput(
      `${plural(gone, "result")} of run ${run} ${gone === 1 ? "is" : "are"} not in the store any more`,
      "run the pipeline again, then tag that run",
    );
  }
  const tag = await store.setTag({ name, pipeline, run }, chosen);
  print(options, tag, said(tag, chosen.length, steps.length));
}

function said({ name, pipeline, run }: Tag, results: number, steps: number): string {
  const what =
    steps === 0 ? `run ${run}` : `${plural(steps, "step")} and what they were made from, of run ${run}`;
  return `tagged ${what} of ${pipeline} as ${name}: ${plural(results, "result")} that gc keeps`;
}

/** The run that the arguments mean, and the steps of it; undefined where that was refused. */
async function findRun(
  store: Store,
  of: readonly string[],
): Promise<
  { readonly of: RunResults & { readonly run: RunId }; readonly steps: readonly string[] } | undefined
> {
  const [first, ...rest] = of;
  const isRun = first === undefined || first === "latest" || /^\d{8}/.test(first) || store.tag(first);
  const found = await resultsOf(store, isRun ? first : undefined);
  const run = found.ok ? found.value.run : undefined;
  if (!found.ok) refuseInput(found.error.message, found.error.hint);
  else if (run === undefined) refuseInput(`the tag ${first} is of no run of this store`);
  if (!found.ok || run === undefined) return undefined;
  return { of: { ...found.value, run }, steps: isRun ? rest : of };
}

/** The named steps with all that they were made from; undefined where one of them was refused. */
async function withUpstream(
  store: Store,
  entries: readonly RosterEntry[],
  steps: readonly string[],
): Promise<readonly RosterEntry[] | undefined> {
  const wanted = new Set(steps);
  const found = entries.filter(([step]) => wanted.has(step));
  if (found.length < wanted.size) {
    const missing = steps.find((step) => !found.some(([id]) => id === step)) ?? "";
    const node = missing.replace(/\[.*$/s, "");
    const alike = entries.filter(([id]) => id.startsWith(node)).slice(0, 8);
    refuseInput(
      `the run had no result of a step ${missing}`,
      alike.length > 0
        ? `it had: ${alike.map(([id]) => id).join(", ")}`
        : "`ranflow plan --steps` lists the ids",
    );
    return undefined;
  }
  const { upstreamEntries } = await import("../../../cache/upstream.ts");
  return upstreamEntries(entries, found, (key) => store.result(key));
}

function known(store: Store): string {
  const names = store.tags().map(({ name }) => name);
  return names.length > 0 ? `there are: ${names.join(", ")}` : "there are none";
}
