/** What most commands begin with: the node library, a pipeline, a store. Wrong input ends the command with code 2. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Store } from "../../cache/types.ts";
import type { Diagnostic } from "../model/diagnostic.ts";
import type { Grid } from "../model/grid.ts";
import type { ExecutorName } from "../model/slurm.ts";
import type { SourceFile } from "../model/source.ts";
import type { NodeLibrary } from "../sdk.ts";
import { atEnd, Exit, exitCodes, fail } from "./exit.ts";
import { hasColor } from "./output.ts";
import { keepHeapSmall } from "./small-heap.ts";

/**
 * URL of the module that exports the node `library`: the built-in one, or that which RANFLOW_NODES names (tests of
 * the engine bring their own node types).
 */
export function libraryUrl(): string {
  const named = process.env["RANFLOW_NODES"];
  if (named) return pathToFileURL(named).href;
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return new URL(`../../nodes/index.${extension}`, import.meta.url).href;
}

let loading: Promise<NodeLibrary> | undefined;

/** The node types there are. Loaded once, when first needed. */
export function nodeLibrary(): Promise<NodeLibrary> {
  loading ??= import(libraryUrl()).then((module: { readonly library: NodeLibrary }) => module.library);
  return loading;
}

/** The node types that a pipeline may use: with those of its plugins, whose code this runs. */
export async function pipelineLibrary(path: string): Promise<NodeLibrary> {
  const [{ loadNodeLibrary }, library] = await Promise.all([import("../load/index.ts"), nodeLibrary()]);
  const loaded = await loadNodeLibrary({ path, cwd: process.cwd(), library });
  return loaded.ok ? loaded.value : exitWith(loaded.error);
}

/** `--pipeline FILE` of the commands that are about node types. */
export const pipelineOption = [
  "-p, --pipeline <file>",
  "know the node types of this pipeline's plugins, too",
] as const;

export interface OpenPipelineOptions {
  /** `inputs.x=v` texts of --set. */
  readonly set: readonly string[];
  /** Names of --profile. */
  readonly profile?: readonly string[];
  /** --executor. */
  readonly executor?: ExecutorName | undefined;
  /** --sbatch. */
  readonly sbatch?: readonly string[];
  /** Folder that paths in `set` resolve against. Default: the working directory. */
  readonly cwd?: string;
  /** Problems go to stdout as JSON instead of to stderr as text. */
  readonly json?: boolean;
}

/** A pipeline that is ready to be planned. */
export interface OpenedPipeline {
  readonly grid: Grid;
  readonly warnings: readonly Diagnostic[];
  /** The pipeline's file and all that it imports. */
  readonly files: readonly SourceFile[];
}

/** Loads and expands a pipeline. Warnings are printed; errors are printed too and end the command with code 2. */
export async function openPipeline(path: string, options: OpenPipelineOptions): Promise<OpenedPipeline> {
  const [{ loadGrid }, library] = await Promise.all([import("../load/index.ts"), nodeLibrary()]);
  keepHeapSmall();
  const loaded = await loadGrid({
    path,
    cwd: options.cwd ?? process.cwd(),
    library,
    sets: options.set,
    profiles: options.profile ?? [],
    ...(options.executor && { executor: options.executor }),
    ...(options.sbatch && { sbatch: options.sbatch }),
  });
  if (!loaded.ok) return exitWith(loaded.error, options.json);
  const { warnings } = loaded.value;
  if (warnings.length > 0) await printDiagnostics(warnings);
  return loaded.value;
}

export interface OpenStoreOptions {
  /** --store. */
  readonly store?: string;
  /** --index: where the index of a new store goes. */
  readonly index?: string | undefined;
  /** For commands that only look. */
  readonly readOnly?: boolean;
  /** Results are shared through the folder that `--remote` or RANFLOW_REMOTE names; `flag` is the former. */
  readonly remote?: { readonly flag: string | undefined };
}

/** Opens the store that --store, RANFLOW_STORE or the working directory name; it is closed when the command ends. */
export async function openStoreOrExit({
  index,
  store: flag,
  readOnly = false,
  remote,
}: OpenStoreOptions): Promise<Store> {
  const [{ openStore }, { findStoreRoot }] = await Promise.all([
    import("../../cache/store.ts"),
    import("../../cache/find.ts"),
  ]);
  const root = findStoreRoot({ flag, env: process.env, cwd: process.cwd() });
  if (index !== undefined) {
    const { placeIndex } = await import("../../cache/index-place.ts");
    const placed = await placeIndex(root, resolve(index));
    if (!placed.ok) return exitWith([placed.error]);
  }
  const opened = await openStore({ root, readOnly });
  if (!opened.ok) return exitWith([opened.error]);
  atEnd(() => opened.value.close());
  if (!readOnly && !opened.value.writable) {
    return fail(`the store ${root} cannot be written to; choose another with --store or RANFLOW_STORE`);
  }
  if (!remote) return opened.value;
  const named = remote.flag || process.env["RANFLOW_REMOTE"];
  if (!named) return opened.value;
  const shared = resolve(named);
  if (existsSync(shared)) return overRemote(opened.value, shared);
  const missing = `there is no shared folder ${shared}`;
  if (!remote.flag) {
    // The variable says where results are shared when that is in reach; a laptop goes on without.
    process.stderr.write(`warning: ${missing} (RANFLOW_REMOTE); going on without it\n`);
    return opened.value;
  }
  return fail(`${missing}\n  \`ranflow cache push ${shared}\` makes one; is the disk mounted?`);
}

/** The store over a shared folder; what went wrong with that is said at the command's end. */
async function overRemote(store: Store, root: string): Promise<Store> {
  const { withRemote } = await import("../../cache/remote/with-remote.ts");
  const shared = withRemote(store, root);
  atEnd(async () => {
    await shared.close();
    for (const warning of shared.warnings()) process.stderr.write(`warning: ${warning}\n`);
  });
  return shared;
}

/** Prints diagnostics and ends the command with code 2. */
export async function exitWith(diagnostics: readonly Diagnostic[], json = false): Promise<never> {
  if (json) process.stdout.write(`${JSON.stringify({ problems: diagnostics.map(plain) }, undefined, 2)}\n`);
  else await printDiagnostics(diagnostics);
  throw new Exit(exitCodes.wrongInput);
}

async function printDiagnostics(diagnostics: readonly Diagnostic[]): Promise<void> {
  const { formatDiagnostics } = await import("../report/code-frame.ts");
  process.stderr.write(`${formatDiagnostics(diagnostics, { color: hasColor(process.stderr) }).trimEnd()}\n`);
}

/** A diagnostic as JSON: places by path and offsets, without the file's text. */
function plain({ code, severity, message, hint, location }: Diagnostic): object {
  if (!location) return { code, severity, message, hint };
  const { file, start, end } = location;
  const before = file.text.slice(0, start);
  const place = {
    path: file.path,
    line: before.split("\n").length,
    column: start - before.lastIndexOf("\n"),
    start,
    end,
  };
  return { code, severity, message, hint, place };
}
