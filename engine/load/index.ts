import { dirname, resolve } from "node:path";
import type { Diagnostic, DiagnosticCode } from "../model/diagnostic.ts";
import type { Grid } from "../model/grid.ts";
import { err, ok } from "../model/result.ts";
import type { Result } from "../model/result.ts";
import type { SourceFile } from "../model/source.ts";
import type { NodeLibrary } from "../sdk.ts";
import { expandGrid } from "../grid/expand.ts";
import { nodeGraph, topologicalOrder } from "../grid/graph.ts";
import { inferAxes } from "../grid/infer.ts";
import { checkSize } from "../grid/size.ts";
import { checkUnexpanded } from "../grid/unexpanded.ts";
import { readAxes } from "./axes.ts";
import type { Axis } from "./axes.ts";
import { applySets, checkInputs, createInputs } from "./inputs.ts";
import type { Inputs } from "./inputs.ts";
import type { Scope } from "./interpolation.ts";
import { readNode, readNodeTypes, resolveLiteral } from "./nodes.ts";
import type { NodeSpec } from "./nodes.ts";
import { readPoints } from "./points.ts";
import { readSource } from "./read.ts";
import { createReport } from "./report.ts";
import type { Report } from "./report.ts";
import { readText, readWhole } from "./settings.ts";
import { readStructure } from "./structure.ts";
import type { PipelineSource } from "./structure.ts";
import { parseYaml } from "./yaml.ts";

/** Sizes beyond which a pipeline is refused rather than worked on. */
export interface LoadLimits {
  readonly maxBytes: number;
  readonly maxAliased: number;
  readonly maxSteps: number;
  readonly maxReads: number;
}

export const defaultLimits: LoadLimits = {
  maxBytes: 1_000_000,
  maxAliased: 100_000,
  maxSteps: 1_000_000,
  maxReads: 20_000_000,
};

export interface LoadOptions {
  /** Path of the pipeline's file, against `cwd`. */
  readonly path: string;
  /** Absolute. Relative paths given with `--set` start from it. */
  readonly cwd: string;
  readonly library: NodeLibrary;
  /** Settings such as `inputs.epochs=30`. */
  readonly sets: readonly string[];
  readonly limits?: Partial<LoadLimits>;
}

export interface LoadedGrid {
  readonly grid: Grid;
  readonly warnings: readonly Diagnostic[];
}

/**
 * Loads a pipeline: reads and checks the file and expands its axes. Everything that is wrong is found in one go,
 * errors and warnings together in the order of the file; warnings alone do not stop it.
 */
export async function loadGrid(options: LoadOptions): Promise<Result<LoadedGrid, readonly Diagnostic[]>> {
  const limits = { ...defaultLimits, ...options.limits };
  const report = createReport();
  const file = await readSource({ path: options.path, cwd: options.cwd, maxBytes: limits.maxBytes, report });
  const grid = file && load(file, { ...options, limits }, report);
  if (!grid || report.errors() > 0) return err(report.all());
  return ok({ grid, warnings: report.all() });
}

type Options = LoadOptions & { readonly limits: LoadLimits };

function load(file: SourceFile, options: Options, report: Report): Grid | undefined {
  const parsed = parseYaml(file, options.limits.maxAliased, report);
  if (!parsed) return undefined;
  if (parsed.brokenAt === undefined) {
    const source = readStructure(file, parsed.tree, report);
    return source && check(source, options, report);
  }
  const rest = createReport();
  const source = readStructure(file, parsed.tree, rest);
  if (source) check(source, options, rest);
  for (const diagnostic of rest.all()) if (holdsBefore(diagnostic, parsed.brokenAt)) report.add(diagnostic);
  return undefined;
}

/** Errors that what follows a syntax error cannot have caused. */
const local: readonly DiagnosticCode[] = [
  "unknown-node-type",
  "unknown-param",
  "param-type",
  "param-value",
  "unsupported-field",
  "interpolation-syntax",
  "invalid-label",
  "duplicate-label",
];

function holdsBefore({ code, location }: Diagnostic, broken: number): boolean {
  return local.includes(code) && location !== undefined && location.end < broken;
}

function check(source: PipelineSource, options: Options, report: Report): Grid | undefined {
  const { limits, library } = options;
  const inputsTree = applySets(source.inputs, options.sets, report);
  const inputs = createInputs(inputsTree);
  const head = readHead(source, options, inputs, report);
  const outline = report.errors();
  if (!checkInputs(inputs, inputsTree, report, limits.maxAliased)) return undefined;
  // An input that another one is made from is in use also where --set replaces that other one.
  const written = createInputs(source.inputs);
  checkInputs(written, source.inputs, createReport());
  const axes = readAxes(source.axes, inputs, report);
  const scope: Scope = { inputs, axes, place: "this" };
  const exclude = source.exclude ? readPoints("grid.exclude", source.exclude, scope, report) : [];

  const types = readNodeTypes(source.nodes, library, scope, report);
  const nodes = source.nodes.flatMap((node): NodeSpec[] => {
    const nodeType = types.get(node.name);
    if (!nodeType) return [];
    return [readNode({ source: node, nodeType, nodes: types, scope, maxChoices: limits.maxSteps, report })];
  });
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const order = topologicalOrder(nodeGraph(nodes), report)?.flatMap((name) => byName.get(name) ?? []);
  const baseOf = ({ path }: SourceFile): string =>
    path === "--set" ? options.cwd : dirname(resolve(options.cwd, path));
  const common = { axes, exclude, scope, baseOf, report };

  // Axes follow from bindings: while some of these are missing, what is inferred would only mislead.
  const nodeAxes = order && report.errors() === outline ? inferAxes(order, axes, scope, report) : undefined;
  if (!order || !nodeAxes || report.errors() > outline) {
    for (const node of nodes) checkUnexpanded(node, common);
    return undefined;
  }
  if (!checkSize(order, axes, nodeAxes, limits, report)) {
    for (const node of nodes) checkUnexpanded(node, common);
    return undefined;
  }
  const expanded = expandGrid({ ...common, order, nodeAxes, seed: head.seed });
  warnUnused(axes, new Set([...nodeAxes.values()].flat()), [inputs, written], report);
  return {
    ...expanded,
    pipeline: head.name,
    path: resolve(options.cwd, options.path),
    ...(head.description !== undefined && { description: head.description }),
    axes: Object.fromEntries([...axes.values()].map(({ name, labels }) => [name, labels])),
  };
}

function readHead(
  { file, fields }: PipelineSource,
  { cwd, path }: Options,
  inputs: Inputs,
  report: Report,
): { name: string; description: string | undefined; seed: number } {
  const literal = (field: string): ReturnType<typeof resolveLiteral> =>
    resolveLiteral(fields.get(field)?.value, { inputs, axes: undefined, place: `\`${field}\`` }, report);
  const seed = literal("seed");
  const description = literal("description");
  const nameTree = literal("name");
  const name = nameTree ? readText("name", nameTree, report) : "";
  if (!fields.has("name")) {
    report.error(
      "missing-field",
      "the pipeline has no `name`",
      { file, start: 0, end: 0 },
      {
        hint: "add `name:`; results are remembered under it",
      },
    );
  } else if (name !== "" && !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    report.error(
      "invalid-name",
      `${JSON.stringify(name)} cannot be the name of a pipeline`,
      nameTree?.range,
      {
        hint: "a name is letters, digits, `.`, `_` and `-`",
      },
    );
  }
  return {
    name: name || resolve(cwd, path),
    description: description && readText("description", description, report),
    seed: seed ? readWhole("seed", seed, report) : 0,
  };
}

function warnUnused(
  axes: ReadonlyMap<string, Axis>,
  mentioned: ReadonlySet<string>,
  [inputs, written]: readonly [Inputs, Inputs],
  report: Report,
): void {
  for (const { name, range } of axes.values()) {
    if (!mentioned.has(name))
      report.warn("unused", `no node has the axis \`${name}\``, range, {
        hint: `mention it as \`$(${name})\``,
      });
  }
  const asWritten = new Set(written.unused().map(({ name }) => name));
  for (const { name, range } of inputs.unused()) {
    if (!asWritten.has(name)) continue;
    report.warn("unused", `nothing mentions the input \`${name}\``, range, {
      hint: `mention it as \`$(inputs.${name})\``,
    });
  }
}
