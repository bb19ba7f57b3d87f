import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { Store } from "../../../cache/types.ts";
import { formatBytes, plural } from "../../report/format.ts";
import { exitCodes, fail } from "../exit.ts";
import { runNameHelp } from "../run-name.ts";
import { resultsOf } from "../run-results.ts";
import { print, refuseInput, storeOptions, withStore } from "../store-command.ts";
import type { StoreCommandOptions } from "../store-command.ts";

interface ReportOptions extends StoreCommandOptions {
  readonly force?: boolean;
}

/** `ranflow report RUN [FILE]`: a run as one HTML page. */
export function register(program: Command): void {
  storeOptions(program.command("report"))
    .summary("write a run as one HTML page")
    .description(
      "Tables, figures and where each came from, the graph, timings, environment, and how to run it again: one file that " +
        `needs no other and no network, for a screen, a phone or paper. ${runNameHelp}`,
    )
    .argument("<run>", "the run")
    .argument("[file]", "the file to write; PIPELINE-RUN.html here unless given")
    .option("--force", "write over a file that is there")
    .action((run: string, file: string | undefined, options: ReportOptions) =>
      withStore(options, { readOnly: true }, (store) => report(store, run, file, options)),
    );
}

async function report(
  store: Store,
  name: string,
  file: string | undefined,
  options: ReportOptions,
): Promise<void> {
  const results = await resultsOf(store, name);
  if (!results.ok) return refuseInput(results.error.message, results.error.hint);
  const [{ exportedRun }, { withoutHome }, { collectPage }, { pageHtml }, { safeName }] = await Promise.all([
    import("../export/exported-run.ts"),
    import("../export/layout.ts"),
    import("../report-page/collect.ts"),
    import("../../report/page/page.ts"),
    import("../../run/step-log.ts"),
  ]);
  const { pipeline, run = results.value.label } = results.value;
  const path = resolve(file ?? `${safeName(pipeline)}-${safeName(run)}.html`);
  const page = await collectPage(await exportedRun(store, results.value), store);
  const text = withoutHome(pageHtml(page));
  try {
    await writeFile(path, text, { flag: options.force ? "w" : "wx" });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    if (code === "EEXIST")
      return refuseInput(`${path} is there already`, "--force writes over it; or name another file");
    return fail(`the page cannot be written to ${path}: ${code}`, exitCodes.stepFailed);
  }
  const count = plural(page.reports.length, "table or figure", "tables and figures");
  print(
    options,
    { file: path, reports: page.reports.length, bytes: Buffer.byteLength(text) },
    `wrote run ${results.value.label} to ${path}\n  ${count}, ${formatBytes(Buffer.byteLength(text))}`,
  );
}
