import nodeModule from "node:module";
import { pathToFileURL } from "node:url";
import { NodeError } from "../sdk.ts";
import type { NodeType, PluginSource } from "../sdk.ts";
import { exportedTypes } from "./definitions.ts";
import type { Exported } from "./definitions.ts";
import { allowSource } from "./hooks.ts";
import { PluginProblem } from "./problem.ts";
import { readSource } from "./source.ts";

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
 * @throws PluginProblem where it cannot be loaded
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
      problems.map((problem) => `what it exports as \`${name}\` is no node type: ${problem}`),
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
  allowSource(path, source);
  try {
    const module = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
    return exportedTypes(module);
  } catch (thrown) {
    if (thrown instanceof NodeError) throw thrown;
    throw new PluginProblem(`loading it failed: ${firstLines(thrown)}`, {
      hint: hintFor(thrown),
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

/** The message, and the first place of the stack that is not Node's own. */
function firstLines(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const message = `${thrown.name}: ${thrown.message.split("\n")[0]}`;
  const place = (thrown.stack ?? "").split("\n").find((line) => /^\s+at .*file:\/\//.test(line));
  const head = /^(file:\/\/\S+:\d+)\n/.exec(thrown.stack ?? "")?.[1];
  const where = place?.trim() ?? (head && `at ${head}`);
  return where === undefined ? message : `${message} (${where})`;
}

function hintFor(thrown: unknown): string {
  const { code } = (typeof thrown === "object" && thrown !== null ? thrown : {}) as {
    readonly code?: unknown;
  };
  switch (code) {
    case "ERR_MODULE_NOT_FOUND":
      return "install the package beside the plugin, or mend the import; imports of files need their extension";
    case "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX":
      return "Node only strips types: enums, namespaces and parameter properties have to be written in JavaScript";
    default:
      return "run it by itself to see the whole stack: `node PLUGIN`";
  }
}
