import type { ExecutorName } from "../model/slurm.ts";
import type { Axis, OpenAxis } from "./axes.ts";
import { readAxes } from "./axes.ts";
import type { ImportedPipeline, PipelineSource } from "./imports.ts";
import { checkInputs, createInputs, replaceInputs } from "./inputs.ts";
import type { Inputs } from "./inputs.ts";
import { checkMentions, resolve } from "./interpolation.ts";
import type { Scope } from "./interpolation.ts";
import { literal } from "./mentions.ts";
import { resolveLiteral } from "./nodes.ts";
import { createReport } from "./report.ts";
import type { Report } from "./report.ts";
import { applySets } from "./sets.ts";
import type { InputTrees, Setting } from "./sets.ts";
import { readWhole } from "./settings.ts";
import { readExecutor, readSlurm, withSlurm } from "./slurm.ts";
import type { PlacementDefaults } from "./slurm.ts";
import { describe } from "./tree.ts";
import type { MapTree, Tree } from "./tree.ts";

/** A pipeline whose inputs and axes are known. */
export interface OpenPipeline {
  readonly source: PipelineSource;
  /** Name of its namespace within its importer. */
  readonly name: string;
  readonly inputs: Inputs;
  /** The inputs without those that settings replaced: what these are made of counts as used. */
  readonly written: Inputs;
  /** Its own axes and, under their namespaces, those of the pipelines that it imports. */
  readonly axes: ReadonlyMap<string, OpenAxis>;
  readonly scope: Scope;
  readonly seed: number;
  /** Where its steps run, and what they ask of Slurm, unless a node says otherwise. */
  readonly placement: PlacementDefaults;
  readonly imported: readonly OpenPipeline[];
}

/**
 * Settles inputs and axes of a pipeline and of those that it imports. Undefined where an input stands for so much
 * that nothing may look at it whole.
 *
 */
export function openPipeline(
  source: PipelineSource,
  settings: readonly Setting[],
  options: OpenOptions,
): OpenPipeline | undefined {
  const placement: PlacementDefaults = { executor: "local", slurm: { options: options.sbatch } };
  return open({ name: "", source, inputs: source.inputs, placement }, settings, options);
}

interface OpenOptions {
  /** `--executor`: in place of what pipelines say. */
  readonly executor: ExecutorName | undefined;
  /** `--sbatch`. */
  readonly sbatch: readonly string[];
  /** How many values an input may stand for, written out. */
  readonly maxValues: number;
  readonly report: Report;
  /** For mistakes that leave the pipeline as it is. */
  readonly aside: Report;
}

interface Opening {
  readonly source: PipelineSource;
  readonly name: string;
  readonly inputs: MapTree | undefined;
  /** Of its importer. */
  readonly placement: PlacementDefaults;
}

function open(
  { inputs: given, name, placement: above, source }: Opening,
  settings: readonly Setting[],
  options: OpenOptions,
): OpenPipeline | undefined {
  const { aside, maxValues, report } = options;
  const { namespace } = source;
  const own = settings.filter((setting) => setting.namespace === namespace);
  const tree = applySets(given, own, aside);
  const inputs = createInputs(tree);
  if (!checkInputs(inputs, tree, report, maxValues)) return undefined;
  const written = createInputs(source.inputs);
  checkInputs(written, source.inputs, createReport());
  const seed = resolveLiteral(source.seed, { inputs, axes: undefined, place: "`seed`" }, aside);
  const literally = (field: "executor" | "slurm"): Tree | undefined =>
    resolveLiteral(source[field], { inputs, axes: undefined, place: `\`${field}\`` }, aside);
  const executor = literally("executor");
  const slurm = literally("slurm");
  const placement: PlacementDefaults = {
    executor: options.executor ?? (executor ? readExecutor(executor, aside) : above.executor),
    slurm: withSlurm(above.slurm, slurm && readSlurm(slurm, aside)),
  };
  const imported: OpenPipeline[] = [];
  for (const entry of source.imported) {
    const theirs = open(
      {
        source: entry.pipeline,
        name: entry.name,
        inputs: givenInputs(entry, inputs, report),
        placement,
      },
      settings,
      options,
    );
    if (!theirs) return undefined;
    imported.push(theirs);
  }
  const axes = new Map<string, OpenAxis>(
    imported.flatMap((theirs) =>
      [...theirs.axes].map(([axis, value]) => [`${theirs.name}/${axis}`, value] as const),
    ),
  );
  for (const [axis, value] of readAxes(source, inputs, report)) axes.set(axis, value);
  const readable: ReadonlyMap<string, Axis> = axes;
  return {
    source,
    name,
    inputs,
    written,
    axes,
    scope: { inputs, axes: readable, place: "this" },
    seed: seed ? readWhole("seed", seed, aside) : 0,
    placement,
    imported,
  };
}

/** The inputs of an imported pipeline after what its importer says of them, which may mention the importer's inputs. */
function givenInputs(
  { entry, pipeline }: ImportedPipeline,
  inputs: Inputs,
  report: Report,
): MapTree | undefined {
  if (!entry.inputs) return pipeline.inputs;
  const scope: Scope = { inputs, axes: undefined, place: "an input" };
  checkMentions(entry.inputs, scope, report);
  const resolved = resolve(entry.inputs, scope, () => 0, report);
  if (!resolved) return pipeline.inputs;
  if (resolved.kind !== "map") {
    report.error("wrong-type", `\`inputs\` is ${describe(resolved)}`, entry.inputs.range, {
      hint: "it is a map, or `$(inputs.name)` of one",
    });
    return pipeline.inputs;
  }
  return replaceInputs(pipeline.inputs, literal(resolved) as MapTree, report);
}

/** A pipeline and all below it, imported ones first. */
export function allPipelines(pipeline: OpenPipeline): readonly OpenPipeline[] {
  return [...pipeline.imported.flatMap(allPipelines), pipeline];
}

/** The inputs of a pipeline and of all below it, by namespace. */
export function inputTrees({ imported, inputs, namespace }: PipelineSource): InputTrees {
  return new Map([[namespace, inputs], ...imported.flatMap(({ pipeline }) => [...inputTrees(pipeline)])]);
}
