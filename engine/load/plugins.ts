import { readFile, realpath, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Diagnostic } from "../model/diagnostic.ts";
import { joinLibraries, libraryOf } from "../model/node-library.ts";
import type { SourceRange } from "../model/source.ts";
import { NodeError, portTypes } from "../sdk.ts";
import type { NodeLibrary, NodeType } from "../sdk.ts";
import type { Plugin } from "../plugins/load.ts";
import { PluginProblem } from "../plugins/problem.ts";
import type { PluginPlace } from "../plugins/problem.ts";
import { pathFrom } from "./imports.ts";
import type { PipelineSource } from "./imports.ts";
import type { PluginEntry } from "./plugin-list.ts";
import { createReport } from "./report.ts";
import type { Report } from "./report.ts";

/** The node types that one pipeline may use. */
export interface PipelineLibrary {
  readonly types: NodeLibrary;
  /** False where a plugin could not be loaded, so that a type that is missing may be one of its. */
  readonly complete: boolean;
}

/** The node types of a pipeline and of those that it imports under namespaces. */
export interface PipelineLibraries {
  of(namespace: string): PipelineLibrary;
  /** What is wrong with plugins. */
  readonly problems: readonly Diagnostic[];
}

/**
 * Loads the plugins of a pipeline and of all below it, which runs their code. A pipeline has the plugins that its own
 * files name, and its importer does not: names of node types meet only within a pipeline.
 */
export async function loadLibraries(
  pipeline: PipelineSource,
  { cwd, library }: { readonly cwd: string; readonly library: NodeLibrary },
): Promise<PipelineLibraries> {
  const report = createReport();
  const common = { types: library, complete: true };
  const own = new Map<string, PipelineLibrary>();
  const options = { cwd, library, kinds: new Map(), report };
  const visit = async (source: PipelineSource): Promise<void> => {
    if (source.plugins.length > 0) own.set(source.namespace, await loadLibrary(source.plugins, options));
    for (const imported of source.imported) await visit(imported.pipeline);
  };
  await visit(pipeline);
  return { of: (namespace) => own.get(namespace) ?? common, problems: report.all() };
}

interface Options {
  readonly cwd: string;
  readonly library: NodeLibrary;
  /** Kinds of the port types that plugins declare, and the node type that declared each first. */
  readonly kinds: Map<string, { readonly kind: string; readonly type: string }>;
  readonly report: Report;
}

async function loadLibrary(
  entries: readonly PluginEntry[],
  { cwd, kinds, library, report }: Options,
): Promise<PipelineLibrary> {
  const types = new Map<string, NodeType>();
  const places = new Map<string, PluginEntry>();
  const before = report.errors();
  const seen = new Set<string>();
  for (const entry of entries) {
    const { range } = entry;
    const shown = pathFrom(range.file.path, entry.path);
    const path = await pluginPath(shown, resolve(cwd, shown), range, report);
    // Fragments that share a plugin may each name it.
    if (path === undefined || seen.has(path)) continue;
    seen.add(path);
    const plugin = await load({ path, shown, entry, report });
    for (const problem of plugin?.problems ?? []) {
      report.error("bad-plugin", `plugin \`${entry.path}\`: ${problem}`, range);
    }
    for (const nodeType of plugin?.types ?? []) {
      const { type } = nodeType;
      if (types.has(type) || library.names.includes(type))
        reportClash(nodeType, entry, places.get(type), report);
      else {
        types.set(type, nodeType);
        places.set(type, entry);
        checkKinds(nodeType, entry, kinds, report);
      }
    }
  }
  return {
    types: joinLibraries([library, libraryOf(types.values())]),
    complete: report.errors() === before,
  };
}

/** A plugin's file without links: what it imports is found from where it really lies. */
async function pluginPath(
  shown: string,
  absolute: string,
  range: SourceRange,
  report: Report,
): Promise<string | undefined> {
  const found = await stat(absolute).catch(() => undefined);
  if (!found) {
    report.error("file-not-found", `there is no file \`${shown}\``, range, {
      hint: "the path starts from the folder of the file that names the plugin",
    });
    return undefined;
  }
  if (!found.isFile() || !/\.m?[jt]s$/.test(absolute)) {
    report.error("bad-plugin", `\`${shown}\` is no module`, range, {
      hint: "a plugin is a `.ts`, `.mts`, `.js` or `.mjs` file that exports node types",
    });
    return undefined;
  }
  return realpath(absolute);
}

async function load({
  entry,
  path,
  report,
  shown,
}: {
  readonly entry: PluginEntry;
  readonly path: string;
  readonly report: Report;
  readonly shown: string;
}): Promise<Plugin | undefined> {
  const { loadPlugin } = await import("../plugins/load.ts");
  try {
    return await loadPlugin(path);
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    const place = error instanceof PluginProblem ? error.place : undefined;
    const location = place && (await rangeOf(place, dirname(shown)));
    report.error("bad-plugin", `plugin \`${entry.path}\`: ${error.message}`, entry.range, {
      hint: error.hint,
      related: location && [{ message: "it comes from here", location }],
    });
    return undefined;
  }
}

/** A place in a plugin's source, for its code frame; undefined where the file has no such line. */
async function rangeOf(
  { column, line, name, path }: PluginPlace,
  folder: string,
): Promise<SourceRange | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  const lines = text.split("\n");
  const wanted = lines[line - 1];
  if (wanted === undefined) return undefined;
  const before = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  const from = column === undefined ? wanted.length - wanted.trimStart().length : column - 1;
  const length = column === undefined ? wanted.trim().length : 1;
  const file = { path: join(folder, name), text };
  return { file, start: before + from, end: before + from + length };
}

function reportClash(
  { type }: NodeType,
  { path, range }: PluginEntry,
  first: PluginEntry | undefined,
  report: Report,
): void {
  const clash =
    first && first.path === path
      ? `it has two node types \`${type}\``
      : `there is a node type \`${type}\` ${first ? `in \`${first.path}\`` : "in ranflow itself"} already`;
  report.error("duplicate-node-type", `plugin \`${path}\`: ${clash}`, range, {
    hint: "give it a name that begins with your own word, such as `lab.`",
    related: first && first.path !== path ? [{ message: "the first one", location: first.range }] : undefined,
  });
}

/** One name of a port type means one kind of artifact, whoever declares it. */
function checkKinds(
  { inputs, outputs, type }: NodeType,
  { path, range }: PluginEntry,
  kinds: Options["kinds"],
  report: Report,
): void {
  for (const port of [...Object.values(inputs), ...Object.values(outputs)]) {
    if (port.kind === undefined || Object.hasOwn(portTypes, port.type)) continue;
    const known = kinds.get(port.type);
    if (!known) kinds.set(port.type, { kind: port.kind, type });
    else if (known.kind !== port.kind) {
      report.error(
        "bad-plugin",
        `plugin \`${path}\`: \`${port.type}\` is a ${port.kind} in ${type} and a ${known.kind} in ${known.type}`,
        range,
        { hint: "give one of them another name" },
      );
    }
  }
}
