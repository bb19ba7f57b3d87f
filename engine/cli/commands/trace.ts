import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import type { Store } from "../../../cache/types.ts";
import type { Digest } from "../../model/ids.ts";
import type { TracedData } from "../../plan/trace-data.ts";
import type { Trace } from "../../plan/trace.ts";
import { plural } from "../../report/format.ts";
import type { FoundArtifact } from "../find-artifact.ts";
import { runNameHelp } from "../run-name.ts";
import { print, refuseInput, storeOptions, withStore } from "../store-command.ts";
import type { StoreCommandOptions } from "../store-command.ts";
import type { Cell } from "../trace-cell.ts";

interface TraceCommandOptions extends StoreCommandOptions {
  readonly run?: string;
  readonly cell?: string;
  readonly depth?: number;
  readonly steps?: boolean;
}

const stepsNamed = 8;

/** `ranflow trace ARTIFACT`: where something came from, step by step, down to the files it began with. */
export function register(program: Command): void {
  storeOptions(program.command("trace"))
    .summary("say where a table, figure or output came from, down to the data")
    .description(
      "Follows an artifact to the results it was made from, and these to theirs, down to the files outside the store, " +
        "and looks whether those are still there. Needs the store alone, no pipeline.\n\n" +
        "An ARTIFACT is a file that a run wrote under results/ (or a copy of it), a step as ranflow prints it (in " +
        "quotes) or a node, STEP.PORT, a digest or a key, or how one of these begins.",
    )
    .argument("<artifact>", "what to trace")
    .option(
      "--run <run>",
      `the run whose results are meant: the latest that has it unless given. ${runNameHelp}`,
    )
    .option("--cell <where>", "of a table: only what one cell was made from, for instance gamma=10,head=ran")
    .option("--depth <n>", "go no further than so many steps up", steps)
    .option("--steps", "every step by itself; otherwise those of one node are said together")
    .action((artifact: string, options: TraceCommandOptions) =>
      withStore(options, { readOnly: true }, (store) => trace(store, artifact, options)),
    );
}

async function trace(store: Store, text: string, options: TraceCommandOptions): Promise<void> {
  const [{ findArtifact }, { findCell, formatCell }, { traceResults }, { formatTrace }] = await Promise.all([
    import("../find-artifact.ts"),
    import("../trace-cell.ts"),
    import("../../plan/trace.ts"),
    import("../../plan/format-trace.ts"),
  ]);
  const found = await findArtifact(store, text, options.run);
  if (!found.ok) return refuseInput(found.error.message, found.error.hint);
  const { digest, makers, run, warning } = found.value;
  const cell = options.cell === undefined ? undefined : await findCell(store, found.value, options.cell);
  if (cell && !cell.ok) return refuseInput(cell.error.message, cell.error.hint);
  const chosen = cell && new Set(cell.value.inputs.map((input) => JSON.stringify([input.port, input.at])));
  const traced = traceResults({
    roots: makers,
    entries: run?.entries ?? [],
    result: store.result,
    keys: store.keys,
    depth: options.depth,
    ...(chosen && { follows: ({ port, at }) => chosen.has(JSON.stringify([port, at])) }),
  });
  const gone = makers.filter(({ key }) => store.result(key) === undefined);
  if (gone.length === makers.length) {
    return refuseInput(
      `what ${text} was made from was removed from the store by gc`,
      "run the pipeline again; `ranflow tag` keeps the results of a run",
    );
  }
  if (warning !== undefined && !options.json) console.error(`warning: ${warning}`);
  const data = await dataOf(store, traced);
  const everyStep = options.steps ?? false;
  print(
    options,
    traceJson({ digest, found: found.value, cell: cell?.value, traced, data }),
    [
      heading(found.value),
      ...(cell ? [formatCell(cell.value)] : []),
      formatTrace(traced, { data, everyStep }),
    ].join("\n\n"),
  );
}

async function dataOf(store: Store, { results }: Trace): Promise<ReadonlyMap<Digest, TracedData>> {
  const { traceData } = await import("../../plan/trace-data.ts");
  const data = new Map<Digest, TracedData>();
  for (const { result } of results) {
    const list = result.fingerprint.external;
    if (list && !data.has(list.digest)) data.set(list.digest, await traceData(store, list));
  }
  return data;
}

function heading({ alike = [], digest, elsewhere = 0, makers, run, what }: FoundArtifact): string {
  if (!run) return `${what}, which no run recorded here had`;
  const made = makers.map(({ step }) => step);
  return [
    `${what}, of ${run.pipeline}, run ${run.label}`,
    ...(digest && made.length > 1 ? [`made by ${plural(made.length, "step")} of it: ${listed(made)}`] : []),
    ...(alike.length > 0
      ? [`${plural(alike.length, "other step")} of it made the same bytes: ${listed(alike)}`]
      : []),
    ...(elsewhere > 0
      ? [`${plural(elsewhere, "result")} of other runs ${elsewhere === 1 ? "has" : "have"} the same bytes`]
      : []),
  ].join("\n");
}

function listed(names: readonly string[]): string {
  const rest = names.length - stepsNamed;
  const named = names.slice(0, stepsNamed).join(", ");
  return rest > 0 ? `${named} and ${rest} more (--json lists them)` : named;
}

function traceJson(parts: {
  readonly digest: Digest | undefined;
  readonly found: FoundArtifact;
  readonly cell: Cell | undefined;
  readonly traced: Trace;
  readonly data: ReadonlyMap<Digest, TracedData>;
}): object {
  const { cell, data, digest, found, traced } = parts;
  const { alike = [], elsewhere = 0, makers, run, warning, what } = found;
  return {
    artifact: { what, digest: digest ?? null },
    run: run ? { run: run.run ?? null, label: run.label, pipeline: run.pipeline } : null,
    steps: run ? makers.map(({ step }) => step) : [],
    alike,
    elsewhere,
    ...(warning !== undefined && { warning }),
    ...(cell && { cell }),
    roots: traced.roots,
    beyond: traced.beyond,
    results: traced.results.map(({ inputs, key, result, steps: names }) => {
      const { fingerprint, outputs, provenance } = result;
      const external = fingerprint.external && data.get(fingerprint.external.digest);
      return {
        key,
        steps: names,
        fingerprint,
        outputs,
        provenance,
        inputs,
        ...(external && { data: external }),
      };
    }),
  };
}

function steps(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new InvalidArgumentError("It is not a number of steps, 0 or more.");
  return value;
}
