import { realpath, stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Diagnostic } from "../model/diagnostic.ts";
import type { SourceRange } from "../model/source.ts";
import { NodeError, portTypes } from "../sdk.ts";
import type { NodeLibrary, NodeType } from "../sdk.ts";
import type { Plugin } from "../plugins/load.ts";
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
  const visit = async (source: PipelineSource): Promise<void> => {
    if (source.plugins.length > 0) {
      own.set(source.namespace, await loadLibrary(source.plugins, { cwd, library, report }));
    }
    for (const imported of source.imported) await visit(imported.pipeline);
  };
  await visit(pipeline);
  return { of: (namespace) => own.get(namespace) ?? common, problems: report.all() };
}

async function loadLibrary(
  entries: readonly PluginEntry[],
  { cwd, library, report }: { readonly cwd: string; readonly library: NodeLibrary; readonly report: Report },
): Promise<PipelineLibrary> {
  const types = new Map<string, NodeType>(library);
  const places = new Map<string, PluginEntry>();
  const kinds = new Map<string, { readonly kind: string; readonly type: string }>();
  const before = report.errors();
  const seen = new Set<string>();
  for (const entry of entries) {
    const { range } = entry;
    const shown = pathFrom(range.file.path, entry.path);
    const path = await pluginPath(shown, resolve(cwd, shown), range, report);
    // Fragments that share a plugin may each name it.
    if (path === undefined || seen.has(path)) continue;
    seen.add(path);
    const plugin = await load(path, entry, report);
    for (const problem of plugin?.problems ?? []) {
      report.error("bad-plugin", `plugin \`${entry.path}\`: ${problem}`, range);
    }
    for (const nodeType of plugin?.types ?? []) {
      const { type } = nodeType;
      if (types.has(type)) reportClash(nodeType, entry, places.get(type), report);
      else {
        types.set(type, nodeType);
        places.set(type, entry);
        checkKinds(nodeType, entry, kinds, report);
      }
    }
  }
  return { types, complete: report.errors() === before };
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

async function load(path: string, entry: PluginEntry, report: Report): Promise<Plugin | undefined> {
  const { loadPlugin } = await import("../plugins/load.ts");
  try {
    return await loadPlugin(path);
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    report.error("bad-plugin", `plugin \`${entry.path}\`: ${error.message}`, entry.range, {
      hint: error.hint,
    });
    return undefined;
  }
}

function reportClash(
  { type }: NodeType,
  { path, range }: PluginEntry,
  first: PluginEntry | undefined,
  report: Report,
): void {
  const other = first
    ? first.path === path
      ? "twice in this plugin"
      : `in \`${first.path}\``
    : "in ranflow itself";
  report.error(
    "duplicate-node-type",
    `plugin \`${path}\`: there is a node type \`${type}\` ${other} already`,
    range,
    {
      hint: "give it a name that begins with your own word, such as `lab.`",
      related:
        first && first.path !== path ? [{ message: "the first one", location: first.range }] : undefined,
    },
  );
}

/** One name of a port type means one kind of artifact, whoever declares it. */
function checkKinds(
  { inputs, outputs, type }: NodeType,
  { path, range }: PluginEntry,
  kinds: Map<string, { readonly kind: string; readonly type: string }>,
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
