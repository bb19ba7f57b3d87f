import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Store } from "../../../cache/types.ts";
import type { RunId } from "../../model/ids.ts";
import { printableLines } from "../../report/format.ts";
import { fail } from "../exit.ts";
import { inspectCommand, inspectStep, type InspectOptions } from "../inspect.ts";
import { matchRun } from "../run-name.ts";

/** `ranflow log [PIPELINE] STEP`: the log of a step's latest execution, also while it runs. */
export function register(program: Command): void {
  inspectCommand(program, "log")
    .summary("print the log of a step's latest execution")
    .option(
      "--run <id>",
      "of this run (its id, how that begins, or a tag) instead of the latest that executed the step",
    )
    .action(async (args: string[], options: InspectOptions & { run?: string }) => {
      const { store, step } = await inspectStep(args, options);
      const { stepLogPath } = await import("../../run/step-log.ts");
      const runs = options.run === undefined ? await store.runs() : [await runNamed(store, options.run)];
      const paths = runs.map((id) => ({ run: id, path: stepLogPath(store.runFolder(id), step.id) }));
      const found = paths.find(({ path }) => existsSync(path));
      if (!found) {
        return fail(
          `${step.id} has no log in ${store.root}: no run kept there executed it (a cached step writes none)`,
          1,
        );
      }
      const text = await readFile(found.path, "utf8");
      if (options.json)
        console.log(JSON.stringify({ run: found.run, path: found.path, lines: text.split("\n") }));
      else console.log(printableLines(text).join("\n"));
      await store.close();
    });
}

async function runNamed(store: Store, name: string): Promise<RunId> {
  const matched = matchRun(await store.runs(), store.tag(name)?.run ?? name);
  return matched.ok ? (matched.value as RunId) : fail(`${matched.error.message}; ${matched.error.hint}`);
}
