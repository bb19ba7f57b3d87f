import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { printableLines } from "../../report/format.ts";
import type { Store } from "../../../cache/types.ts";
import type { RunEvent } from "../../model/events.ts";
import type { RunId, StepId } from "../../model/ids.ts";
import { fail } from "../exit.ts";
import { inspectCommand, inspectStep, type InspectOptions } from "../inspect.ts";
import { matchRun } from "../run-name.ts";

/** `ranflow log [PIPELINE] STEP`: the log of a step's latest execution, also while it runs. */
export function register(program: Command): void {
  inspectCommand(program, "log")
    .summary("print the log of a step's latest execution")
    .description(
      "Prints what a step logged when it was last executed, also while it goes on. Where it was taken from the store since, " +
        "that is the log of the run that made the result.",
    )
    .option(
      "--run <id>",
      "of this run (its id, how that begins, or a tag) instead of the latest that executed the step",
    )
    .action(async (args: string[], options: InspectOptions & { run?: string }) => {
      const { store, step } = await inspectStep(args, options);
      const runs = options.run === undefined ? await store.runs() : [await runNamed(store, options.run)];
      const found = await findLog(store, runs, step.id);
      if (!found) {
        return fail(
          `${step.id} has no log in ${store.root}: no run kept there executed it (a cached step writes none)`,
          1,
        );
      }
      const { text, ...where } = found;
      if (options.json) console.log(JSON.stringify({ ...where, lines: text.split("\n") }));
      else console.log(printableLines(text).join("\n"));
    });
}

async function runNamed(store: Store, name: string): Promise<RunId> {
  const matched = matchRun(await store.runs(), store.tag(name)?.run ?? name);
  return matched.ok ? (matched.value as RunId) : fail(`${matched.error.message}; ${matched.error.hint}`);
}

interface FoundLog {
  readonly run: RunId;
  /** The step's log, or the event log of its run. */
  readonly path: string;
  readonly text: string;
}

/** The step's log of the first of these runs that executed it. */
async function findLog(store: Store, runs: readonly RunId[], step: StepId): Promise<FoundLog | undefined> {
  const { quietLog, stepLogPath } = await import("../../run/step-log.ts");
  for (const run of runs) {
    const path = stepLogPath(store.runFolder(run), step);
    if (existsSync(path)) return { run, path, text: await readFile(path, "utf8") };
    const eventLog = join(store.runFolder(run), "events.ndjson");
    const text = quietLog(await allEvents(eventLog), step);
    if (text !== undefined) return { run, path: eventLog, text };
  }
  return undefined;
}

async function allEvents(path: string): Promise<readonly RunEvent[]> {
  const { readEvents } = await import("../event-log.ts");
  const events: RunEvent[] = [];
  if (!existsSync(path)) return events;
  await readEvents(path, {
    follow: false,
    signal: new AbortController().signal,
    onEvents: (some) => events.push(...some),
  });
  return events;
}
