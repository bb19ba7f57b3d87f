import type { Command } from "commander";
import { Option } from "commander";
import { findStoreRoot } from "../../../cache/find.ts";
import { findRun, readEvents } from "../event-log.ts";
import type { LogEnd } from "../event-log.ts";
import { Exit, exitCodes, fail, outcomeCode } from "../exit.ts";
import { defaultUi } from "../reporter.ts";
import type { UiKind } from "../reporter.ts";
import { viewReporter } from "../view-run.ts";

interface WatchOptions {
  readonly store?: string;
  readonly ui?: UiKind;
}

/** `ranflow watch [RUN]`: shows a run that goes on in another terminal, and ends with its exit code. */
export function register(program: Command): void {
  program
    .command("watch")
    .summary("show a run that goes on in another terminal")
    .description(
      "Shows a run that goes on in another terminal, until it ends. Only looks: nothing here stops or changes the run.",
    )
    .argument("[run]", "id of the run, how it begins, or a tag; the newest one unless given")
    .option("--store <dir>", "the store the run writes to")
    .addOption(new Option("--ui <kind>", "how to show it").choices(["ink", "plain", "json"]))
    .action(async (name: string | undefined, options: WatchOptions) => {
      const store = findStoreRoot({ flag: options.store, env: process.env, cwd: process.cwd() });
      const run = await findRun(store, name);
      if (!run.ok) return fail(run.error);
      const { signal, reporter, outcome } = await viewReporter({ ui: options.ui ?? defaultUi() });
      let end: LogEnd;
      try {
        end = await readEvents(run.value.path, {
          follow: true,
          signal,
          onEvents: (events) => events.forEach((event) => reporter.event(event)),
        });
      } finally {
        await reporter.close();
      }
      if (end === "driver-died")
        throw new Exit(
          exitCodes.stepFailed,
          `run ${run.value.id} did not finish: its process is gone\n` +
            "  Finished steps are safe in the store; the command that started it goes on from them.",
        );
      process.exitCode = outcomeCode(outcome());
    });
}
