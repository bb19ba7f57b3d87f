import { dirname, resolve } from "node:path";
import type { Diagnostic } from "../model/diagnostic.ts";
import type { Grid } from "../model/grid.ts";
import { err, ok } from "../model/result.ts";
import type { ExecutorName } from "../model/slurm.ts";
import type { Result } from "../model/result.ts";
import type { SourceFile, SourceRange } from "../model/source.ts";
import type { NodeLibrary } from "../sdk.ts";
import { expandGrid } from "../grid/expand.ts";
import { nodeGraph, topologicalOrder } from "../grid/graph.ts";
import { inferAxes } from "../grid/infer.ts";
import { neededNodes } from "../grid/needed.ts";
import { checkSize } from "../grid/size.ts";
import { checkUnexpanded } from "../grid/unexpanded.ts";
import type { NamedNode, NodeNames } from "./bindings.ts";
import { readGridRules } from "./grid-rules.ts";
import { holdsAnyway } from "./broken.ts";
import { readPipeline } from "./imports.ts";
import type { PipelineSource, ReadPipeline } from "./imports.ts";
import { qualified } from "./namespace.ts";
import { readNode, readNodeTypes, resolveLiteral } from "./nodes.ts";
import type { NodeSpec } from "./nodes.ts";
import { allPipelines, inputTrees, openPipeline } from "./pipelines.ts";
import type { OpenPipeline } from "./pipelines.ts";
import { loadLibraries } from "./plugins.ts";
import type { PipelineLibraries } from "./plugins.ts";
import { applyProfiles } from "./profiles.ts";
import { createReport } from "./report.ts";
import type { Report } from "./report.ts";
import { readSets } from "./sets.ts";
import { readText } from "./settings.ts";
import type { Tree } from "./tree.ts";

/** Sizes beyond which a pipeline is refused rather than worked on. */
export interface LoadLimits {
  readonly maxBytes: number;
  readonly maxTotalBytes: number;
  readonly maxImports: number;
  readonly maxAliased: number;
  readonly maxSteps: number;
  readonly maxReads: number;
}

export const defaultLimits: LoadLimits = {
  maxBytes: 1_000_000,
  maxTotalBytes: 10_000_000,
  maxImports: 2_000,
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
  /** Names of profiles, later ones stronger. */
  readonly profiles?: readonly string[];
  /** `--executor`: where steps run whose nodes do not say, whatever pipelines say. */
  readonly executor?: ExecutorName;
  /** `--sbatch`: options of sbatch for all steps; what pipelines and nodes say comes after them. */
  readonly sbatch?: readonly string[];
  readonly limits?: Partial<LoadLimits>;
}

export interface LoadedGrid {
  readonly grid: Grid;
  readonly warnings: readonly Diagnostic[];
  /** The pipeline's file and all that it imports. */
  readonly files: readonly SourceFile[];
}

/**
 * Loads a pipeline: reads and checks its files, loads its plugins (which runs their code) and expands its axes.
 * Everything that is wrong is found in one go, errors and warnings together in the order of the files; warnings alone
 * do not stop it.
 */
export async function loadGrid(options: LoadOptions): Promise<Result<LoadedGrid, readonly Diagnostic[]>> {
  const limits = { ...defaultLimits, ...options.limits };
  const report = createReport();
  const read = await readPipeline({ path: options.path, cwd: options.cwd, limits, report });
  const libraries = read && (await loadLibraries(read.pipeline, options));
  const grid = read && libraries && (await load(read, { ...options, limits, libraries }, report));
  if (!grid || report.errors() > 0) return err(report.all());
  return ok({ grid, warnings: report.all(), files: read.files });
}

/** The node types that a pipeline may use: those of the program and of the plugins that its files name. */
export async function loadNodeLibrary(
  options: Pick<LoadOptions, "path" | "cwd" | "library" | "limits">,
): Promise<Result<NodeLibrary, readonly Diagnostic[]>> {
  const report = createReport();
  const limits = { ...defaultLimits, ...options.limits };
  const read = await readPipeline({ path: options.path, cwd: options.cwd, limits, report });
  if (!read || !read.complete) return err(report.all());
  const libraries = await loadLibraries(read.pipeline, options);
  return libraries.problems.length > 0 ? err(libraries.problems) : ok(libraries.of("").types);
}

type Options = LoadOptions & { readonly limits: LoadLimits; readonly libraries: PipelineLibraries };

async function load(
  { broken, complete, pipeline }: ReadPipeline,
  options: Options,
  report: Report,
): Promise<Grid | undefined> {
  if (complete) return check(pipeline, options, report);
  const rest = createReport();
  await check(pipeline, options, rest);
  for (const diagnostic of rest.all()) {
    const brokenAt = diagnostic.location && broken.get(diagnostic.location.file);
    if (holdsAnyway(diagnostic, brokenAt)) report.add(diagnostic);
  }
  return undefined;
}

async function check(pipeline: PipelineSource, options: Options, report: Report): Promise<Grid | undefined> {
  const { limits } = options;
  const source = applyProfiles(pipeline, options.profiles ?? [], report);
  const settings = readSets(options.sets, inputTrees(source), report);
  checkOutline(source, report);
  const outline = report.errors();
  // What is wrong with these misleads nobody about the rest.
  const aside = createReport();
  const root = openPipeline(source, settings, {
    executor: options.executor,
    sbatch: options.sbatch ?? [],
    maxValues: limits.maxAliased,
    report,
    aside,
  });
  const head = root && readHead(root, options, aside);
  for (const diagnostic of aside.all()) report.add(diagnostic);
  const harmless = outline + aside.errors();
  for (const problem of options.libraries.problems) report.add(problem);
  if (!root || !head) return undefined;
  const pipelines = allPipelines(root);
  const rules = readGridRules(pipelines, report);
  const nodes = await readNodes(root, options, report);

  const byName = new Map(nodes.map((node) => [node.name, node]));
  const all = topologicalOrder(nodeGraph(nodes), report)?.flatMap((name) => byName.get(name) ?? []);
  const order = all && neededNodes(all);
  const axes = new Map([...root.axes.values()].map((axis) => [axis.name, axis]));
  const baseOf = ({ path }: SourceFile): string =>
    path === "--set" ? options.cwd : dirname(resolve(options.cwd, path));
  const common = { axes, rules, baseOf, report };

  // Axes follow from bindings: while some of these are missing, what is inferred would only mislead.
  const nodeAxes = order && report.errors() === harmless ? inferAxes(order, axes, report) : undefined;
  const isSound = order && nodeAxes && report.errors() === harmless;
  if (!isSound || !checkSize(order, axes, nodeAxes, rules, limits, report)) {
    for (const node of nodes) checkUnexpanded(node, common);
    return undefined;
  }
  if (order.length === 0 && nodes.length > 0) {
    report.error(
      "missing-field",
      "all nodes of the pipeline are optional, and nothing reads them",
      source.start,
      {
        hint: "take `optional` off the nodes whose results you want",
      },
    );
    return undefined;
  }
  // What is left out is checked all the same: a profile or a setting may have it read.
  for (const node of nodes)
    if (!nodeAxes.has(node.name)) checkUnexpanded(node, { ...common, isLeftOut: true });
  const expanded = expandGrid({ ...common, order, nodeAxes });
  warnUnused(root, new Set([...nodeAxes.values()].flat()), report);
  return {
    ...expanded,
    pipeline: head.name,
    path: resolve(options.cwd, options.path),
    ...(head.description !== undefined && { description: head.description }),
    axes: Object.fromEntries([...axes.values()].map(({ name, labels }) => [name, labels])),
  };
}

/** Reports what no file of a pipeline has. */
function checkOutline({ hasNodes, imported, start }: PipelineSource, report: Report): void {
  for (const { pipeline } of imported) checkOutline(pipeline, report);
  if (hasNodes || imported.length > 0) return;
  report.error("missing-field", "the pipeline has no `nodes`", start, {
    hint: "list its nodes under `nodes:`; `ranflow nodes` shows the node types",
  });
}

async function readNodes(
  root: OpenPipeline,
  { libraries, limits }: Options,
  report: Report,
): Promise<readonly NodeSpec[]> {
  const specs: NodeSpec[] = [];
  const read = async ({ imported, placement, scope, seed, source }: OpenPipeline): Promise<NodeNames> => {
    const names = new Map<string, NamedNode>();
    for (const theirs of imported) {
      for (const [name, node] of await read(theirs)) names.set(`${theirs.name}/${name}`, node);
    }
    const types = await readNodeTypes(source.nodes, libraries.of(source.namespace), scope, report);
    for (const [name, nodeType] of types) {
      names.set(name, { name: qualified(source.namespace, name), nodeType });
    }
    const pipeline = { namespace: source.namespace, scope, pipelineSeed: seed, placement };
    for (const node of source.nodes) {
      const nodeType = types.get(node.name);
      if (!nodeType) continue;
      specs.push(
        readNode({ source: node, nodeType, nodes: names, pipeline, maxChoices: limits.maxSteps, report }),
      );
    }
    return names;
  };
  await read(root);
  return specs;
}

function readHead(
  { inputs, source }: OpenPipeline,
  { cwd, path }: Options,
  report: Report,
): { name: string; description: string | undefined } {
  const literal = (field: "name" | "description"): Tree | undefined =>
    resolveLiteral(source[field], { inputs, axes: undefined, place: `\`${field}\`` }, report);
  const description = literal("description");
  const nameTree = literal("name");
  const name = nameTree ? readText("name", nameTree, report) : "";
  if (!source.name) {
    report.error(
      "missing-field",
      "the pipeline has no `name`",
      { file: source.file, start: 0, end: 0 },
      { hint: "add `name:`; results are remembered under it" },
    );
  } else if (name !== "" && !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    report.error(
      "invalid-name",
      `${JSON.stringify(name)} cannot be the name of a pipeline`,
      nameTree?.range,
      { hint: "a name is letters, digits, `.`, `_` and `-`" },
    );
  }
  return {
    name: name || resolve(cwd, path),
    description: description && readText("description", description, report),
  };
}

/** Warns of axes and inputs that nothing mentions, where the pipeline's own file declares them: fragments are shared. */
function warnUnused(
  { axes, inputs, source, written }: OpenPipeline,
  mentioned: ReadonlySet<string>,
  report: Report,
): void {
  const isOwn = ({ file }: SourceRange): boolean => file === source.file;
  for (const { name, range } of axes.values()) {
    if (mentioned.has(name) || !isOwn(range)) continue;
    report.warn("unused", `no node has the axis \`${name}\``, range, {
      hint: `mention it as \`$(${name})\``,
    });
  }
  const asWritten = new Set(written.unused().map(({ name }) => name));
  for (const { name, range } of inputs.unused()) {
    if (!asWritten.has(name) || !isOwn(range)) continue;
    report.warn("unused", `nothing mentions the input \`${name}\``, range, {
      hint: `mention it as \`$(inputs.${name})\``,
    });
  }
}
