/** Which of the records that a table or figure was made from fall into one of its cells. */
import type { Store } from "../../cache/types.ts";
import type { StepId } from "../model/ids.ts";
import { err, ok } from "../model/result.ts";
import type { Result } from "../model/result.ts";
import { closestTo, makersOf } from "../plan/makers.ts";
import type { Maker } from "../plan/makers.ts";
import { inputsOf } from "../plan/trace.ts";
import type { ReadInput } from "../plan/trace.ts";
import { formatValue } from "../report/format.ts";
import { readMeasured } from "../run/measured.ts";
import type { Metrics } from "../run/measured.ts";
import type { RunProblem } from "./run-name.ts";
import type { RunResults } from "./run-results.ts";

/** An input that falls into the cell. */
interface CellInput extends ReadInput {
  readonly step?: StepId;
  /** What it holds, where that is a record of measured values. */
  readonly record?: Metrics;
}

export interface Cell {
  readonly text: string;
  readonly inputs: readonly CellInput[];
  /** How many there are in all cells. */
  readonly of: number;
}

/** Values of a record that are printed where it has no headline. */
const valuesShown = 4;
const inputsShown = 12;

/**
 * Finds the inputs of a collecting step that agree with a text such as `gamma=10,head=ran,dataset=chexpert`: names are
 * those of coordinates, and of fields of the records themselves.
 */
export async function findCell(
  store: Store,
  { makers, run }: { readonly makers: readonly Maker[]; readonly run?: RunResults },
  text: string,
): Promise<Result<Cell, RunProblem>> {
  const wanted = text.split(",").map((part) => {
    const equals = part.indexOf("=");
    return [part.slice(0, Math.max(0, equals)).trim(), part.slice(equals + 1).trim()] as const;
  });
  if (wanted.some(([name]) => name === ""))
    return err({ message: `${text} names no cell`, hint: "--cell gamma=10,head=ran" });
  const sources = makersOf(run?.entries ?? [], store.result);
  const all: CellInput[] = [];
  for (const { key, step: reader } of makers) {
    const result = store.result(key);
    for (const input of result ? inputsOf(result) : []) {
      if (!input.at) continue;
      const step = closestTo(input.at, sources.of(input.digest, reader))?.step;
      const record = await readMeasured(store.objects.path(input.digest));
      all.push({ ...input, ...(step && { step }), ...(record && { record }) });
    }
  }
  if (all.length === 0) {
    return err({
      message: "it was not made from collected inputs: it has no cells",
      hint: "leave out --cell",
    });
  }
  const valueOf = ({ at, record }: CellInput, name: string): unknown => at?.[name] ?? record?.[name];
  const unknown = wanted.find(([name]) => all.every((input) => valueOf(input, name) === undefined));
  if (unknown) {
    const names = new Set(
      all.flatMap(({ at, record }) => [...Object.keys(at ?? {}), ...Object.keys(record ?? {})]),
    );
    return err({
      message: `nothing that it was made from has a ${unknown[0]}`,
      hint: `there are: ${[...names].slice(0, 24).join(", ")}`,
    });
  }
  const inputs = all.filter((input) =>
    wanted.every(([name, value]) => String(valueOf(input, name)) === value),
  );
  if (inputs.length > 0) return ok({ text, inputs, of: all.length });
  const labels = wanted.map(([name]) => {
    const values = new Set(all.map((input) => String(valueOf(input, name))));
    return `${name}: ${[...values].slice(0, 12).join(", ")}`;
  });
  return err({ message: `no input falls into the cell ${text}`, hint: labels.join("\n  ") });
}

/** The cell's inputs, each with the value that a table shows of it. */
export function formatCell({ inputs, of, text }: Cell): string {
  const lines = inputs.slice(0, inputsShown).map(({ at, record, step }) => {
    const name =
      step ??
      Object.entries(at ?? {})
        .flat()
        .join(" ");
    return `  ${name}  ${valuesOf(record)}`.trimEnd();
  });
  const rest = inputs.length - lines.length;
  return [
    `the cell ${text} holds ${inputs.length} of ${of} inputs:`,
    ...lines,
    ...(rest > 0 ? [`  and ${rest} more (--json lists them)`] : []),
  ].join("\n");
}

function valuesOf(record: Metrics | undefined): string {
  const numbers = Object.entries(record ?? {}).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number",
  );
  const headline = numbers.filter(([name]) => name === "headline");
  return (headline.length > 0 ? headline : numbers.slice(0, valuesShown))
    .map(([name, value]) => `${name}=${formatValue(value)}`)
    .join("  ");
}
