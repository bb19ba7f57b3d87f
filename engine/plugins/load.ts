import nodeModule from "node:module";
import { pathToFileURL } from "node:url";
import { init } from "es-module-lexer";
import { NodeError } from "../sdk.ts";
import type { NodeType, PluginSource, SourceRecord } from "../sdk.ts";
import { exportedTypes } from "./definitions.ts";
import type { Exported } from "./definitions.ts";
import { allowSource } from "./hooks.ts";
import { PluginProblem } from "./problem.ts";
import type { PluginPlace } from "./problem.ts";
import { readSource, sourcePath } from "./source.ts";

/** What a plugin has to offer. */
export interface Plugin {
  readonly types: readonly NodeType[];
  /** What is wrong with node types that cannot be used. */
  readonly problems: readonly string[];
}

/**
 * Loads a plugin, which runs its code, and says what its node types are made of.
 *
 * @param path absolute, without links
 * @throws NodeError where it cannot be loaded
 */
export async function loadPlugin(path: string): Promise<Plugin> {
  const source = await readSource(path);
  const exported = await importTypes({ path, source });
  if (exported.length === 0) {
    throw new PluginProblem("it exports no node type", {
      hint: 'export them: `export const spectrum = defineNode({ type: "lab.spectrum", ... })`',
    });
  }
  const sound = exported.filter(({ problems }) => problems.length === 0);
  const plugin = { path, source };
  return {
    types: sound.map(({ definition }) => ({ ...definition, plugin })),
    problems: exported.flatMap(({ name, problems }) =>
      problems.length === 0 ? [] : [`what it exports as \`${name}\` is no node type: ${problems.join("; ")}`],
    ),
  };
}

/**
 * The node type that a run was planned with; for the processes in which it runs.
 *
 * @throws NodeError where the plugin's files are not those that the plan names
 */
export async function plannedType(type: string, plugin: PluginSource): Promise<NodeType | undefined> {
  const exported = await importTypes(plugin).catch((error: unknown) => {
    if (!(error instanceof PluginProblem)) throw error;
    throw new PluginProblem(`the plugin ${plugin.path}: ${error.message}`, error);
  });
  const found = exported.find(({ definition }) => definition.type === type);
  return found && { ...found.definition, plugin };
}

async function importTypes({ path, source }: PluginSource): Promise<readonly Exported[]> {
  checkNode(path);
  // The hooks, which cannot wait, ask it what kind of module a file is.
  await init();
  allowSource(path, source);
  try {
    const module = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
    return exportedTypes(module);
  } catch (thrown) {
    if (thrown instanceof NodeError) throw thrown;
    const place = placeOf(thrown, path, source);
    throw new PluginProblem(`loading it failed: ${messageOf(thrown)}`, {
      hint: hintFor(thrown, place),
      place,
      cause: thrown,
    });
  }
}

/** TypeScript is run by Node itself, and the files of a plugin are seen to by module hooks: both are new in Node. */
function checkNode(path: string): void {
  const typescript = (process.features as { readonly typescript?: unknown }).typescript;
  if (typeof nodeModule.registerHooks === "function" && (typescript || !/\.m?ts$/.test(path))) return;
  throw new PluginProblem(`Node ${process.versions.node} cannot load it`, {
    hint: "plugins need Node 22.18, 23.6 or later; `npx ranflow` in the project's folder runs with the Node installed there",
  });
}

function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const [first = ""] = thrown.message.split("\n");
  return thrown.name === "Error" ? first : `${thrown.name}: ${first}`;
}

/** The first place of a stack that is in the plugin's own files. */
function placeOf(thrown: unknown, path: string, { files }: SourceRecord): PluginPlace | undefined {
  const stack = thrown instanceof Error ? (thrown.stack ?? "") : "";
  const own = new Map(
    Object.keys(files).map((name) => {
      const file = { name, path: sourcePath(path, name) };
      return [pathToFileURL(file.path).href, file] as const;
    }),
  );
  for (const [, url = "", line, column] of stack.matchAll(/(file:\/\/[^\s():]+):(\d+)(?::(\d+))?/g)) {
    const file = own.get(url);
    if (file) return { ...file, line: Number(line), ...(column !== undefined && { column: Number(column) }) };
  }
  return undefined;
}

function hintFor(thrown: unknown, place: PluginPlace | undefined): string {
  const { code } = (typeof thrown === "object" && thrown !== null ? thrown : {}) as {
    readonly code?: unknown;
  };
  switch (code) {
    case "ERR_MODULE_NOT_FOUND":
    case "MODULE_NOT_FOUND":
      return "install the package beside the plugin, `npm install NAME`, or mend the import";
    case "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX":
      return "Node only strips types; what is more than a type has to be JavaScript: an object in place of an enum, a module in place of a namespace";
    default:
      return thrown instanceof SyntaxError && !place
        ? "`node --check FILE` shows the place in a JavaScript file"
        : "mend it: the code of a plugin runs whenever its pipeline is opened";
  }
}
