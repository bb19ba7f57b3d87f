import type { SourceFile } from "../model/source.ts";
import { replaceInputs } from "./inputs.ts";
import { mentionsOf } from "./mentions.ts";
import type { PipelineFiles } from "./merge.ts";
import type { PipelineSource } from "./imports.ts";
import { qualified, splitName } from "./namespace.ts";
import type { Report } from "./report.ts";
import { readExecutor, readSlurm } from "./slurm.ts";
import { readWhole } from "./settings.ts";
import { suggest } from "./similar.ts";
import { readFields } from "./structure.ts";
import { describe, entryOf, isNull } from "./tree.ts";
import type { MapEntry, MapTree, Tree } from "./tree.ts";

/** What a profile can replace. */
type Settled = Pick<PipelineFiles, "inputs" | "axes" | "formerAxes" | "seed" | "executor" | "slurm">;

const profileFields = ["inputs", "axes", "seed", "executor", "slurm"] as const;

/**
 * Carries out `--profile` in a pipeline and in those that it imports: a name applies wherever it is declared,
 * `t10/paper` only in `t10`; later names win. Profiles that are not chosen are checked as well.
 */
export function applyProfiles(
  pipeline: PipelineSource,
  names: readonly string[],
  report: Report,
): PipelineSource {
  const known = new Set<string>();
  const result = applied(pipeline, names, known, report);
  const all = profileNames(pipeline);
  const everywhere = new Set(all.map((name) => splitName(name).rest));
  for (const name of names) {
    if (known.has(name)) continue;
    const file: SourceFile = { path: "--profile", text: name };
    report.error(
      "unknown-profile",
      `there is no profile \`${name}\``,
      { file, start: 0, end: name.length },
      {
        hint:
          suggest(name, name.includes("/") ? all : everywhere, "the profiles are") ??
          "the pipeline has none: declare it under `profiles:`",
      },
    );
  }
  return result;
}

function applied(
  pipeline: PipelineSource,
  names: readonly string[],
  known: Set<string>,
  report: Report,
): PipelineSource {
  const chosen = names.filter((name) => {
    const { namespace, rest } = splitName(name);
    const isHere = namespace === "" || `${pipeline.namespace}/`.startsWith(`${namespace}/`);
    if (isHere && pipeline.profiles.has(rest)) known.add(name);
    return isHere && pipeline.profiles.has(rest);
  });
  for (const entries of pipeline.profiles.values()) {
    for (const entry of entries) replaceWith(pipeline, entry, report);
  }
  let settled: Settled = pipeline;
  for (const name of chosen) {
    for (const entry of pipeline.profiles.get(splitName(name).rest) ?? []) {
      settled = replaceWith(settled, entry, report);
    }
  }
  const { inputs, axes, formerAxes, seed, executor, slurm } = settled;
  const imported = pipeline.imported.map((each) => ({
    ...each,
    pipeline: applied(each.pipeline, names, known, report),
  }));
  return { ...pipeline, inputs, axes, formerAxes, seed, executor, slurm, imported };
}

/** The values of a pipeline after a profile; the same mistake is kept once, however often this is done. */
function replaceWith(settled: Settled, { key, value }: MapEntry, report: Report): Settled {
  if (isNull(value)) return settled;
  if (value.kind !== "map") {
    report.error("wrong-type", `profile \`${key}\` is ${describe(value)}`, value.range, {
      hint: `it is a map: \`${key}: { inputs: { name: value } }\``,
    });
    return settled;
  }
  const fields = readFields(value, "a profile", profileFields, report);
  const mapOf = (name: string): MapTree | undefined => {
    const tree: Tree | undefined = fields.get(name)?.value;
    if (!tree || tree.kind === "map") return tree;
    report.error("wrong-type", `\`${name}\` is ${describe(tree)}`, tree.range, { hint: "it is a map" });
    return undefined;
  };
  const inputs = mapOf("inputs");
  const axes = mapOf("axes");
  const seed = fields.get("seed")?.value;
  const executor = fields.get("executor")?.value;
  const slurm = fields.get("slurm")?.value;
  if (seed && mentionsOf(seed).length === 0) readWhole("seed", seed, report);
  if (executor && mentionsOf(executor).length === 0) readExecutor(executor, report);
  if (slurm && mentionsOf(slurm).length === 0) readSlurm(slurm, report);
  return {
    inputs: inputs ? replaceInputs(settled.inputs, inputs, report) : settled.inputs,
    axes: axes ? replaceAxes(settled.axes, axes, report) : settled.axes,
    formerAxes: [
      ...settled.formerAxes,
      ...(settled.axes?.entries ?? []).filter(({ key: axis }) => axes && entryOf(axes, axis)),
    ],
    seed: seed ?? settled.seed,
    executor: executor ?? settled.executor,
    slurm: slurm ?? settled.slurm,
  };
}

function replaceAxes(tree: MapTree | undefined, values: MapTree, report: Report): MapTree | undefined {
  for (const { key, keyRange } of values.entries) {
    if (tree && entryOf(tree, key)) continue;
    const names = tree?.entries.map((axis) => axis.key) ?? [];
    report.error("unknown-axis", `there is no axis \`${key}\` to replace`, keyRange, {
      hint: suggest(key, names, "the axes are") ?? "declare it under `axes:`",
    });
  }
  return tree && { ...tree, entries: tree.entries.map((entry) => entryOf(values, entry.key) ?? entry) };
}

function profileNames({ imported, namespace, profiles }: PipelineSource): string[] {
  const own = [...profiles.keys()].map((name) => qualified(namespace, name));
  return [...own, ...imported.flatMap(({ pipeline }) => profileNames(pipeline))];
}
