import { randomBytes } from "node:crypto";
import { readdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { StoreError } from "../../../cache/errors.ts";
import { makeFolder } from "../../../cache/make-folder.ts";
import type { Store } from "../../../cache/types.ts";
import { plural } from "../../report/format.ts";
import { exitCodes, fail } from "../exit.ts";
import type { ExportReport } from "../export/write-run.ts";
import { runNameHelp } from "../run-name.ts";
import { resultsOf } from "../run-results.ts";
import { print, refuseInput, storeOptions, withStore } from "../store-command.ts";
import type { StoreCommandOptions } from "../store-command.ts";

/** `ranflow export RUN DIR`: a run as a folder that others can read. */
export function register(program: Command): void {
  storeOptions(program.command("export"))
    .summary("write a run as a folder that others can read")
    .description(
      "Writes the pipeline's files as they were, how they were run, the environment and git commit, metrics, tables " +
        "and figures, and each step's fingerprint. No data, no models, no paths of this machine, no secrets. " +
        runNameHelp,
    )
    .argument("<run>", "the run")
    .argument("<dir>", "the folder to make; one that is there must be empty")
    .action((run: string, folder: string, options: StoreCommandOptions) =>
      withStore(options, { readOnly: true }, (store) => exportRun(store, run, resolve(folder), options)),
    );
}

async function exportRun(
  store: Store,
  name: string,
  folder: string,
  options: StoreCommandOptions,
): Promise<void> {
  const results = await resultsOf(store, name);
  if (!results.ok) return refuseInput(results.error.message, results.error.hint);
  const problem = await folderProblem(folder);
  if (problem !== undefined)
    return refuseInput(`${folder} ${problem}`, "name a folder that is not there yet");
  const [{ exportedRun }, { writeRun }] = await Promise.all([
    import("../export/exported-run.ts"),
    import("../export/write-run.ts"),
  ]);
  const run = await exportedRun(store, results.value);
  const report = await putInPlace(folder, (unfinished) => writeRun(run, store, unfinished));
  print(options, { folder, ...report }, said(results.value.label, folder, report));
}

async function folderProblem(folder: string): Promise<string | undefined> {
  try {
    return (await readdir(folder)).length > 0 ? "is not empty" : undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    return code === "ENOTDIR" ? "is a file" : `cannot be looked into: ${code}`;
  }
}

/** Has a folder filled beside its place and put there by one rename: nobody finds half of it. */
async function putInPlace<T>(folder: string, fill: (unfinished: string) => Promise<T>): Promise<T> {
  const unfinished = join(dirname(folder), `.${basename(folder)}.${randomBytes(4).toString("hex")}.part`);
  try {
    await makeFolder(unfinished);
    const filled = await fill(unfinished);
    // Some systems rename onto no folder, not even an empty one.
    await rmdir(folder).catch(() => undefined);
    await rename(unfinished, folder);
    return filled;
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || error instanceof StoreError) throw error;
    return fail(`the run cannot be written to ${folder}: ${code}`, exitCodes.stepFailed);
  }
}

function said(label: string, folder: string, report: ExportReport): string {
  const { gone, metrics, pipelineFiles, reports, reportsGone, steps } = report;
  return [
    `wrote run ${label} to ${folder}`,
    `  ${plural(steps, "step")}, ${plural(metrics, "record")} of metrics, ${plural(reports, "table or figure", "tables and figures")}, ${plural(pipelineFiles, "file")} of the pipeline`,
    ...(pipelineFiles > 0 ? [] : ["  without the pipeline's files: how the run began is not recorded here"]),
    ...(gone > 0 ? [`  ${plural(gone, "result")} had been removed by gc: only the keys are there`] : []),
    ...(reportsGone > 0
      ? [`  the files of ${plural(reportsGone, "table or figure", "tables and figures")} are gone`]
      : []),
  ].join("\n");
}
