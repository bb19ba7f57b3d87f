import type { Command } from "commander";
import type { GcReport, Store, StoreStatus, VerifyProblem } from "../../../cache/types.ts";
import { formatBytes, formatCount, plural } from "../../report/format.ts";

interface CacheOptions {
  readonly store?: string;
  readonly json?: boolean;
}

/** Exit codes of DESIGN section 3. */
const failed = 1;
const wrongInput = 2;

/** Adds `cache status | gc | verify`. */
export function register(program: Command): void {
  const cache = program.command("cache").description("look at the store, tidy it, check it");

  withOptions(cache.command("status"))
    .description("what the store holds, and how large it is")
    .action((options: CacheOptions) =>
      withStore(options, { readOnly: true }, async (store) => {
        const status = await store.status();
        print(options, status, statusText(status));
      }),
    );

  withOptions(cache.command("gc"))
    .description("remove what no pipeline's last result and no recent result needs")
    .option("--days <n>", "keep every result that is younger than this many days", "30")
    .option("--dry-run", "only say what would be removed")
    .action(async (options: CacheOptions & { readonly days: string; readonly dryRun?: boolean }) => {
      const days = Number(options.days);
      if (!(days >= 0) || options.days.trim() === "") {
        complain(`--days takes a number of days, 0 or more, not ${JSON.stringify(options.days)}`);
        process.exitCode = wrongInput;
        return;
      }
      await withStore(options, { readOnly: false }, async (store) => {
        const dryRun = options.dryRun ?? false;
        const report = await store.gc({ days, dryRun });
        print(options, { ...report, dryRun }, gcText(report, dryRun));
      });
    });

  withOptions(cache.command("verify"))
    .description("hash every object again and follow every result; reads the whole store")
    .action((options: CacheOptions) =>
      withStore(options, { readOnly: true }, async (store) => {
        const problems = await store.verify(progressLine(options));
        print(options, problems, verifyText(problems));
        if (problems.length > 0) process.exitCode = failed;
      }),
    );
}

function withOptions(command: Command): Command {
  return command
    .option("--store <dir>", "the store (default: RANFLOW_STORE, else the nearest .ranflow)")
    .option("--json", "print JSON");
}

/** Opens the store, does the work, closes it; problems of the store are said and become the exit code. */
async function withStore(
  options: CacheOptions,
  { readOnly }: { readonly readOnly: boolean },
  work: (store: Store) => Promise<void>,
): Promise<void> {
  const [{ existsSync }, { findStoreRoot }, { openStore }, { StoreError }] = await Promise.all([
    import("node:fs"),
    import("../../../cache/find.ts"),
    import("../../../cache/store.ts"),
    import("../../../cache/errors.ts"),
  ]);
  const root = findStoreRoot({ flag: options.store, env: process.env, cwd: process.cwd() });
  if (!existsSync(root)) {
    complain(`there is no store at ${root}`, "`ranflow run` makes one; name another with --store");
    process.exitCode = wrongInput;
    return;
  }
  const opened = await openStore({ root, readOnly });
  if (!opened.ok) {
    complain(opened.error.message, opened.error.hint);
    process.exitCode = wrongInput;
    return;
  }
  try {
    await work(opened.value);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    complain(error.message, error.hint);
    process.exitCode = failed;
  } finally {
    await opened.value.close();
  }
}

function print(options: CacheOptions, value: unknown, text: string): void {
  console.log(options.json ? JSON.stringify(value, undefined, 2) : text);
}

function complain(message: string, hint?: string): void {
  console.error(hint ? `error: ${message}\n  ${hint}` : `error: ${message}`);
}

function statusText(status: StoreStatus): string {
  const { root, results, objects, checkpoints, runs, memo, temporary } = status;
  return [
    `store        ${root}`,
    `results      ${formatCount(results)}`,
    `objects      ${formatCount(objects.count)}, ${formatBytes(objects.bytes)}`,
    `checkpoints  ${formatCount(checkpoints.count)}, ${formatBytes(checkpoints.bytes)}`,
    `memo         ${plural(memo, "item")}`,
    `runs         ${formatCount(runs)}`,
    `unfinished   ${plural(temporary.count, "file")}, ${formatBytes(temporary.bytes)}`,
  ].join("\n");
}

function gcText({ removed, kept }: GcReport, dryRun: boolean): string {
  const verb = dryRun ? "would remove" : "removed";
  return [
    `${verb} ${plural(removed.results, "result")} and ${plural(removed.objects, "object")}, ${formatBytes(removed.bytes)}`,
    `kept ${plural(kept.results, "result")} and ${plural(kept.objects, "object")}, ${formatBytes(kept.bytes)}`,
  ].join("\n");
}

function verifyText(problems: readonly VerifyProblem[]): string {
  if (problems.length === 0)
    return "every object holds the bytes it is named by, and every result has its objects";
  const lines = problems.flatMap(({ kind, message, neededBy }) => [
    `${kind}: ${message}`,
    ...neededBy.slice(0, 5).map((step) => `  needed by ${step}`),
    ...(neededBy.length > 5 ? [`  and by ${neededBy.length - 5} more`] : []),
  ]);
  return [...lines, `${plural(problems.length, "problem")} found`].join("\n");
}

/** Progress on a terminal's standard error, nothing elsewhere. */
function progressLine(options: CacheOptions): (done: number, total: number) => void {
  if (options.json || !process.stderr.isTTY) return () => {};
  let shown = 0;
  return (done, total) => {
    const now = Date.now();
    if (done < total && now - shown < 100) return;
    shown = now;
    process.stderr.write(
      done < total ? `\rhashing ${formatCount(done)} of ${formatCount(total)}` : "\r\x1b[K",
    );
  };
}
