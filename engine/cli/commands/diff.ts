import type { Command } from "commander";
import type { Store } from "../../../cache/types.ts";
import { runNameHelp } from "../run-name.ts";
import { resultsOf } from "../run-results.ts";
import type { RunResults } from "../run-results.ts";
import { print, refuseInput, storeOptions, withStore } from "../store-command.ts";
import type { StoreCommandOptions } from "../store-command.ts";

/** `ranflow diff [RUN] [RUN]`: which steps changed between two runs, which field, and what caused it. */
export function register(program: Command): void {
  storeOptions(program.command("diff"))
    .summary("say what changed between two runs, field by field")
    .description(
      "Compares what the steps of two runs were made from, and names for each node the fields that differ, with the " +
        "old and the new value, and the upstream fields that caused it. Steps are compared by their ids. " +
        `${runNameHelp} Without the second, the latest; without both, the two latest of one pipeline.`,
    )
    .argument("[before]", "the run to compare with")
    .argument("[after]", "the run that is compared")
    .action((before: string | undefined, after: string | undefined, options: StoreCommandOptions) =>
      withStore(options, { readOnly: true }, (store) => diff(store, { before, after }, options)),
    );
}

async function diff(
  store: Store,
  names: { readonly before: string | undefined; readonly after: string | undefined },
  options: StoreCommandOptions,
): Promise<void> {
  const after = await resultsOf(store, names.after);
  if (!after.ok) return refuseInput(after.error.message, after.error.hint);
  const name = names.before ?? previous(store, after.value);
  if (name === undefined) {
    return refuseInput(
      `no run of ${after.value.pipeline} ended before ${after.value.label}`,
      "name two runs: ranflow diff RUN RUN",
    );
  }
  const before = await resultsOf(store, name);
  if (!before.ok) return refuseInput(before.error.message, before.error.hint);
  const [{ compareRuns }, { formatRunDifference }, { readExternalList }] = await Promise.all([
    import("../../plan/run-diff.ts"),
    import("../../plan/format-run-diff.ts"),
    import("../../plan/external-list.ts"),
  ]);
  const difference = compareRuns(before.value.entries, after.value.entries, {
    result: (key) => store.result(key),
    readList: (list) => readExternalList(store, list),
  });
  const { counts, steps } = difference;
  const json = { before: described(before.value), after: described(after.value), counts, steps };
  print(options, json, [...heading(before.value, after.value), formatRunDifference(difference)].join("\n"));
}

/** The run of the same pipeline that ended before. */
function previous(store: Store, { at, pipeline, run }: RunResults): string | undefined {
  return store
    .runRecords()
    .find((record) => record.pipeline === pipeline && record.run !== run && record.endedAt <= at)?.run;
}

function described({ entries, ...rest }: RunResults): object {
  return { ...rest, steps: entries.length };
}

function heading(before: RunResults, after: RunResults): readonly string[] {
  return [
    `${before.label} -> ${after.label}`,
    ...(before.pipeline === after.pipeline
      ? []
      : [
          `of different pipelines, ${before.pipeline} and ${after.pipeline}: steps are compared by their ids`,
        ]),
    ...[before, after]
      .filter(({ whole }) => !whole)
      .map(({ label }) => `${label} was a run of a part of the pipeline, or did not come to its end`),
  ];
}
