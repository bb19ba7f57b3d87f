import { basename } from "node:path";
import type { Command } from "commander";
import type { Store } from "../../../cache/types.ts";
import { columns } from "../../report/columns.ts";
import { formatDuration, plural } from "../../report/format.ts";
import { shellWord } from "../../report/shell-word.ts";
import type { ListedRun } from "../run-list.ts";
import { runIds } from "../run-results.ts";
import { print, storeOptions, withStore } from "../store-command.ts";
import type { StoreCommandOptions } from "../store-command.ts";
import { wholeNumber } from "../whole-number.ts";

interface RunsOptions extends StoreCommandOptions {
  readonly last: number;
}

/** `ranflow runs`: the runs of the store, newest first. */
export function register(program: Command): void {
  storeOptions(program.command("runs"))
    .summary("list the runs there were: how each was run, and how it ended")
    .description(
      "Lists the store's runs, the newest first: when each began, how it ended, how it was run, and its tags. Their ids, or " +
        "how these begin, are what other commands take as a RUN.",
    )
    .option("--last <n>", "so many runs", wholeNumber, 20)
    .action((options: RunsOptions) =>
      withStore(options, { readOnly: true }, (store) => listRuns(store, options)),
    );
}

async function listRuns(store: Store, options: RunsOptions): Promise<void> {
  const { describeRun } = await import("../run-list.ts");
  const all = await runIds(store);
  const runs: ListedRun[] = [];
  for (const run of all.slice(0, options.last)) runs.push(await describeRun(store, run));
  print(options, runs, toText(runs, all.length - runs.length));
}

function toText(runs: readonly ListedRun[], more: number): string {
  if (runs.length === 0) return "there is no run in this store; `ranflow run` makes one";
  const tagged = runs.some(({ tags }) => tags.length > 0);
  const heading = ["run", "pipeline", "began (UTC)", "took", "outcome", ...(tagged ? ["tags"] : []), "as"];
  const rows = runs.map((run) => [
    run.run,
    run.pipeline,
    new Date(run.startedAt).toISOString().slice(0, 16).replace("T", " "),
    run.duration === undefined ? "" : formatDuration(run.duration),
    run.outcome,
    ...(tagged ? [run.tags.join(" ")] : []),
    shortened(run),
  ]);
  const rest = more > 0 ? [`and ${plural(more, "earlier run")} (--last)`] : [];
  return [...columns([heading, ...rows]), ...rest].join("\n");
}

/** What a run's command says besides `ranflow run`, with the file's name alone: --json has it whole. */
function shortened({ command = "", path = "" }: ListedRun): string {
  const before = `ranflow run ${shellWord(path)}`;
  return command.startsWith(before) ? `${shellWord(basename(path))}${command.slice(before.length)}` : command;
}
