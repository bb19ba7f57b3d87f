import { existsSync } from "node:fs";
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import type { GcReport, KeptBy, RepairReport, StoreStatus, VerifyProblem } from "../../../cache/types.ts";
import { formatBytes, formatCount, plural } from "../../report/format.ts";
import { exitCodes } from "../exit.ts";
import { collect } from "../inspect.ts";
import { registerSharing } from "./share.ts";
import { print, progressLine, refuseInput, storeOptions, withStore } from "../store-command.ts";
import type { StoreCommandOptions } from "../store-command.ts";

/** Age that `gc` keeps unless told otherwise, and after which `status` says that results can go. */
const defaultDays = 30;
/** Node types and pipelines that `status` lists. */
const listed = 12;
/** Problems that `verify` prints. */
const problemsShown = 40;

interface GcCommandOptions extends StoreCommandOptions {
  readonly days: number;
  readonly dryRun?: boolean;
  readonly forget: readonly string[];
}

/** Adds `cache status | gc | verify | push | pull`. */
export function register(program: Command): void {
  const cache = program.command("cache").description("look at the store, tidy it, check it, share it");

  storeOptions(cache.command("status"))
    .description("what the store holds, what keeps it, and how large it is")
    .action((options: StoreCommandOptions) =>
      withStore(options, { readOnly: true }, async (store) => {
        const status = await store.status();
        print(options, status, statusText(status));
      }),
    );

  storeOptions(cache.command("gc"))
    .summary("remove what nothing needs any more")
    .description(
      "Keeps the results that the last run of each pipeline had (with each choice of profiles), those of tags " +
        "(`ranflow tag`), and those made or used by a run of the last days. Removes the others with their bytes, old " +
        "checkpoints, and logs of old runs that made nothing that is kept. While another ranflow uses the store, no " +
        "result goes.",
    )
    .option("--days <n>", "keep everything that is younger than this many days", days, defaultDays)
    .option("--forget <pipeline>", "keep nothing for this pipeline's sake; may be repeated", collect, [])
    .option("--dry-run", "only say what would be removed")
    .action((options: GcCommandOptions) =>
      withStore(options, { readOnly: false }, async (store) => {
        const dryRun = options.dryRun ?? false;
        const unknown = options.forget.find((name) => !knownPipelines(store.runRecords()).has(name));
        if (unknown !== undefined) {
          const known = [...knownPipelines(store.runRecords())].toSorted();
          refuseInput(
            `the store has no results of a pipeline ${JSON.stringify(unknown)}`,
            known.length > 0 ? `it has those of: ${known.join(", ")}` : "it has those of none",
          );
          return;
        }
        const report = await store.gc({ days: options.days, dryRun, forget: options.forget });
        print(options, { ...report, dryRun }, gcText(report, { dryRun, days: options.days }));
      }),
    );

  storeOptions(cache.command("verify"))
    .summary("find every flipped bit, missing object and dangling reference")
    .description(
      "Hashes every object again, computes every result's key again, and follows every reference: reads the whole " +
        "store. Exit code 1 where something is wrong, or is left so.",
    )
    .option("--repair", "drop exactly what is bad: the next run makes it again")
    .action((options: StoreCommandOptions & { readonly repair?: boolean }) =>
      withStore(options, { readOnly: options.repair !== true }, async (store) => {
        const problems = await store.verify(progressLine("hashing", options));
        const repaired = options.repair && problems.length > 0 ? await store.repair(problems) : undefined;
        print(
          options,
          options.repair ? { problems, repaired: repaired ?? null } : problems,
          [verifyText(problems), ...(repaired ? [repairText(repaired)] : [])].join("\n"),
        );
        if ((repaired?.left ?? problems).length > 0) process.exitCode = exitCodes.stepFailed;
      }),
    );

  registerSharing(cache);
}

function days(text: string): number {
  const value = Number(text);
  if (!(value >= 0) || text.trim() === "")
    throw new InvalidArgumentError("It is not a number of days, 0 or more.");
  return value;
}

function knownPipelines(records: readonly { readonly pipeline: string }[]): ReadonlySet<string> {
  return new Set(records.map(({ pipeline }) => pipeline));
}

function statusText(status: StoreStatus): string {
  const { root, results, keptBy, objects, checkpoints, runs, memo, temporary, tags, nodeTypes } = status;
  return [
    `store        ${root}`,
    `results      ${formatCount(results)}${keptText(keptBy, { total: results, days: defaultDays })}`,
    `objects      ${formatCount(objects.count)}, ${formatBytes(objects.bytes)}`,
    `checkpoints  ${formatCount(checkpoints.count)}, ${formatBytes(checkpoints.bytes)}`,
    `memo         ${plural(memo, "item")}`,
    `runs         ${formatCount(runs)}`,
    `tags         ${formatCount(tags)}`,
    `unfinished   ${plural(temporary.count, "file")}, ${formatBytes(temporary.bytes)}`,
    ...listing("pipelines", status.pipelines, ({ pipeline, profiles, path, results, lastRun }) => {
      const gone = existsSync(path) ? "" : "; its file is gone";
      const name = [pipeline, ...profiles.map((profile) => `--profile ${profile}`)].join(" ");
      return `${name}: ${plural(results, "result")}, last run ${new Date(lastRun).toISOString().slice(0, 10)}, ${path}${gone}`;
    }),
    ...listing(
      "outputs by node type",
      nodeTypes,
      ({ type, results, bytes }) =>
        `${formatBytes(bytes).padStart(7)}  ${type} (${plural(results, "result")})`,
    ),
  ].join("\n");
}

function listing<T>(title: string, items: readonly T[], line: (item: T) => string): readonly string[] {
  if (items.length === 0) return [];
  const rest = items.length - listed;
  return [
    "",
    `${title}:`,
    ...items.slice(0, listed).map((item) => `  ${line(item)}`),
    ...(rest > 0 ? [`  ... and ${rest} more (--json lists them)`] : []),
  ];
}

function gcText(
  { removed, kept, keptBy, busy }: GcReport,
  { dryRun, days }: { readonly dryRun: boolean; readonly days: number },
): string {
  const verb = dryRun ? "would remove" : "removed";
  const others = [
    removed.runs > 0 ? `logs of ${plural(removed.runs, "run")}` : "",
    removed.checkpoints > 0 ? plural(removed.checkpoints, "checkpoint") : "",
    removed.memo > 0 ? plural(removed.memo, "memo item") : "",
  ].filter(Boolean);
  const and = others.length > 0 ? `, with ${others.join(", ")}` : "";
  const held = busy
    ? ["another ranflow uses the store, so no result was removed: run this again when it is done"]
    : [];
  return [
    `${verb} ${plural(removed.results, "result")} and ${plural(removed.objects, "object")}${and}: ${formatBytes(removed.bytes)}`,
    `kept ${plural(kept.results, "result")}${keptText(keptBy, { total: kept.results, days })}`,
    `  and ${plural(kept.objects, "object")}, ${formatBytes(kept.bytes)}`,
    ...held,
  ].join("\n");
}

/** `: 290 by pipelines, 12 by tags, 10 younger than 30 days, 3 by nothing`. */
function keptText(
  keptBy: KeptBy,
  { total, days }: { readonly total: number; readonly days: number },
): string {
  const { pipeline, tag, run, young } = keptBy;
  const rest = total - pipeline - tag - run - young;
  const parts = [
    pipeline > 0 ? `${formatCount(pipeline)} by pipelines` : "",
    tag > 0 ? `${formatCount(tag)} by tags` : "",
    run > 0 ? `${formatCount(run)} by runs of the last ${plural(days, "day")}` : "",
    young > 0 ? `${formatCount(young)} younger than ${plural(days, "day")}` : "",
    rest > 0 ? `${formatCount(rest)} by nothing` : "",
  ].filter(Boolean);
  return parts.length > 0 ? `: ${parts.join(", ")}` : "";
}

function verifyText(problems: readonly VerifyProblem[]): string {
  if (problems.length === 0)
    return "every object holds the bytes it is named by, and every result has its objects";
  const lines = problems
    .slice(0, problemsShown)
    .flatMap(({ kind, message, neededBy }) => [
      `${kind}: ${message}`,
      ...neededBy.slice(0, 5).map((step) => `  needed by ${step}`),
      ...(neededBy.length > 5 ? [`  and by ${neededBy.length - 5} more`] : []),
    ]);
  const rest = problems.length - problemsShown;
  const more = rest > 0 ? [`... and ${rest} more (--json lists them)`] : [];
  return [...lines, ...more, `${plural(problems.length, "problem")} found`].join("\n");
}

function repairText({ dropped, steps, left }: RepairReport): string {
  const { results, objects, entries } = dropped;
  const parts = [
    plural(results, "result"),
    plural(objects, "object"),
    ...(entries > 0
      ? [`${formatCount(entries)} other ${entries === 1 ? "entry" : "entries"} of the index`]
      : []),
  ];
  return [
    `dropped ${parts.join(", ")}`,
    ...listing("the next run executes again", steps, (step) => step).slice(1),
    ...(left.length > 0 ? [`${plural(left.length, "problem")} left, which a run puts right`] : []),
  ].join("\n");
}
