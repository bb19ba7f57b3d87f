/** Parts of a pipeline on the command line: `PIPELINE [STEP...]`, `--axes`, `--force [STEP]`. */
import { existsSync } from "node:fs";
import type { GridPart, Wanted } from "../grid/part.ts";
import type { Grid } from "../model/grid.ts";
import type { Result } from "../model/result.ts";
import { exitWith } from "./context.ts";
import { fail } from "./exit.ts";

/** An option whose value may be left out, and that may be repeated: `true` where it stands alone. */
export type OptionalValues = true | readonly string[] | undefined;

/** What a command line names; `values` are those of the options that may have none. */
export interface NamedPart<Option extends string> {
  readonly pipeline: string;
  /** Selectors; empty for all steps. */
  readonly steps: readonly string[];
  readonly values: Readonly<Record<Option, OptionalValues>>;
}

/** What help says of selectors, since the shell gets to see them first. */
export const selectorHelp =
  "A STEP is written as ranflow prints it, with globs, in quotes: 'finetune[head=ran,gamma=*]', 'table*', " +
  "'finetune[gamma=0,20]'. Axes that are left out take all values. '+STEP' adds all that comes before, 'STEP+' all " +
  "that follows from it.";

/**
 * Sorts out `PIPELINE [STEP...]` and options with optional values: one that stands before the pipeline, as in
 * `--force p.yaml`, has taken the pipeline for its value.
 */
export function namedPart<Option extends string>(
  command: string,
  args: readonly string[],
  values: NamedPart<Option>["values"],
): NamedPart<Option> {
  const [first, ...rest] = args;
  const named = { pipeline: first ?? "", steps: rest, values };
  if (first !== undefined && isPipelineFile(first)) return named;
  const usage = `ranflow ${command} PIPELINE [STEP...]`;
  let problem = `which pipeline? ${usage}`;
  for (const [option, given] of Object.entries<OptionalValues>(values)) {
    if (typeof given !== "object") continue;
    const pipeline = given.find(isPipelineFile);
    if (pipeline !== undefined) {
      const left = given.filter((text) => text !== pipeline);
      return { pipeline, steps: args, values: { ...values, [option]: left.length > 0 ? left : true } };
    }
    problem = `which pipeline? ${option} took "${given[0]}"; name the pipeline first: ${usage} ${option}`;
  }
  if (first === undefined) return fail(problem);
  if (existsSync(first)) return named;
  const later = rest.find(isPipelineFile);
  if (later !== undefined) return fail(`name the pipeline first: ${usage}`);
  return /[[*+]/.test(first) ? fail(`which pipeline? "${first}" is no file; ${usage}`) : named;
}

function isPipelineFile(text: string): boolean {
  return /\.ya?ml$/i.test(text);
}

/** Collects the values of a repeatable option whose value may be left out. */
export function collectOptional(value: string, previous: OptionalValues): readonly string[] {
  return [...(typeof previous === "object" ? previous : []), value];
}

/** The wanted part of a grid. Selectors and axes that name nothing end the command with code 2. */
export async function partOrExit(grid: Grid, wanted: Wanted): Promise<GridPart> {
  const { partOf } = await import("../grid/part.ts");
  return valueOrExit(partOf(grid, wanted));
}

/** Which steps `--force` names among those of a part. */
export async function forcedSteps(
  whole: Grid,
  { grid, selected }: GridPart,
  force: OptionalValues,
): Promise<((step: number) => boolean) | undefined> {
  if (force === undefined) return undefined;
  if (force === true) {
    const all = new Set(selected);
    return (step) => all.has(step);
  }
  const { selectSteps } = await import("../grid/selectors.ts");
  const forced = new Set<number>();
  for (const selector of force) {
    const found = selectSteps(grid, [selector], "--force");
    if (!found.ok && selectSteps(whole, [selector]).ok)
      return fail(`--force ${selector} names steps that are not among those selected; select them too`);
    for (const step of await valueOrExit(found)) forced.add(step);
  }
  return (step) => forced.has(step);
}

async function valueOrExit<T>(result: Result<T, Parameters<typeof exitWith>[0]>): Promise<T> {
  return result.ok ? result.value : exitWith(result.error);
}
