import type { Command } from "commander";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Grid, Step } from "../model/grid.ts";
import type { Store } from "../../cache/types.ts";
import type { Planner } from "../plan/types.ts";
import { parseEvent } from "./event-log.ts";
import { fail } from "./exit.ts";

/** Options of the commands that look at one step. */
export interface InspectOptions {
  readonly set: readonly string[];
  readonly profile: readonly string[];
  readonly store?: string;
  readonly json?: boolean;
  /** Hashes the external files that the step depends on first. */
  readonly scan?: boolean;
}

/** A planned pipeline, and the step a command is about. */
export interface InspectedStep {
  readonly grid: Grid;
  readonly store: Store;
  readonly planner: Planner;
  readonly step: Step;
}

/** Adds `[pipeline] <step>` and the options every inspecting command has. */
export function inspectCommand(program: Command, name: string): Command {
  return program
    .command(name)
    .argument("<step...>", "[PIPELINE] STEP; without a pipeline, that of the store's latest run")
    .option("--set <input=value>", "replace an input, as for run", collect, [])
    .option(...profileOption)
    .option("--store <dir>", "the store to look in")
    .option("--json", "print JSON");
}

/** Opens what `[PIPELINE] STEP` names; exits with code 2 and a suggestion where there is no such step. */
export async function inspectStep(args: readonly string[], options: InspectOptions): Promise<InspectedStep> {
  const { openPipeline, openStoreOrExit } = await import("./context.ts");
  if (args.length > 2) fail(`expected [PIPELINE] STEP, got ${args.length} arguments; put the step in quotes`);
  const stepId = args.at(-1) ?? "";
  const store = await openStoreOrExit({
    ...(options.store !== undefined && { store: options.store }),
    readOnly: options.scan !== true,
  });
  const source =
    args.length === 2
      ? { path: args[0] ?? "", set: options.set, profile: options.profile }
      : await latestPipeline(store, options);
  const { grid: whole } = await openPipeline(source.path, {
    set: source.set,
    profile: source.profile,
    ...(source.cwd && { cwd: source.cwd }),
  });
  const { findStep } = await import("../grid/part.ts");
  const found = findStep(whole, stepId) ?? (await onlyStep(whole, stepId));
  const step = found?.grid.steps[found.index];
  if (!found || !step) return fail(noSuchStep(stepId, whole));
  const { grid } = found;
  const { createPlanner } = await import("../plan/planner.ts");
  const planner = createPlanner({ grid, store });
  await planner.start();
  if (options.scan) {
    const [{ scanAll }, { upstreamOf }] = await Promise.all([
      import("./scan.ts"),
      import("../plan/fingerprint.ts"),
    ]);
    const needed = new Set([step.index]);
    for (const index of needed) for (const above of upstreamOf(grid.steps[index] as Step)) needed.add(above);
    // What a shard reads is scanned by the step that joins it, which it does not come after.
    await scanAll(planner, store, (index) => step.shard !== undefined || needed.has(index));
  }
  return { grid, store, planner, step };
}

/** The step that a selector names, where it names only one: axes may then be left out, or stand in another order. */
async function onlyStep(
  whole: Grid,
  selector: string,
): Promise<{ readonly grid: Grid; readonly index: number } | undefined> {
  const { selectSteps } = await import("../grid/selectors.ts");
  const selected = selectSteps(whole, [selector]);
  const [index, ...others] = selected.ok ? selected.value : [];
  return index === undefined || others.length > 0 ? undefined : { grid: whole, index };
}

/** The pipeline file, profiles, `--set` values and working directory of the store's latest run. */
async function latestPipeline(
  store: Store,
  { profile, set }: InspectOptions,
): Promise<Pick<InspectOptions, "profile" | "set"> & { path: string; cwd?: string }> {
  const [latest] = await store.runs();
  if (latest === undefined) return fail("this store has no run yet; name the pipeline: PIPELINE STEP");
  const text = await readFile(join(store.runFolder(latest), "events.ndjson"), "utf8").catch(() => "");
  const [first] = parseEvent(text.split("\n", 1)[0] ?? "");
  if (first?.type !== "run-started")
    return fail(`the events of run ${latest} are damaged; name the pipeline: PIPELINE STEP`);
  if (!existsSync(first.path))
    return fail(
      `${first.path}, the pipeline of the latest run ${latest}, is gone\n  name the pipeline: PIPELINE STEP`,
    );
  return {
    path: first.path,
    set: [...first.sets, ...set],
    profile: [...(first.profiles ?? []), ...profile],
    cwd: first.cwd,
  };
}

function noSuchStep(id: string, grid: Grid): string {
  const ofNode = grid.nodes.find((node) => node.name === id.replace(/\[.*$/s, ""));
  const candidates = ofNode
    ? ofNode.steps.map((index) => grid.steps[index]?.id ?? "")
    : grid.nodes.map((node) => node.name);
  const listed = candidates.slice(0, 12).map((candidate) => `  ${candidate}`);
  const more =
    candidates.length > listed.length ? [`  ... and ${candidates.length - listed.length} more`] : [];
  const heading = ofNode ? `The steps of ${ofNode.name} are:` : "The nodes are:";
  return [`there is no step ${id} in ${grid.path}`, heading, ...listed, ...more].join("\n");
}

/** `--profile NAME` of every command that opens a pipeline. */
export const profileOption = [
  "--profile <name>",
  "use a profile of the pipeline; may be repeated, later ones win",
  collect,
  [] as readonly string[],
] as const;

/** Collects a repeatable option. */
export function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}
