/** What a run is made from: kept in its folder when it begins, so that it can be told and exported later. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";
import { join, resolve } from "node:path";
import type { Grid } from "../model/grid.ts";
import type { SourceFile } from "../model/source.ts";
import type { PluginSource } from "../sdk.ts";
import type { GitState } from "./git-state.ts";
import { packageNames, packageVersions } from "./package-versions.ts";

const manifestFile = "run.json";

/** A file that a run was made from. */
export interface ManifestFile {
  /** Absolute. */
  readonly path: string;
  readonly text: string;
}

/** A node as the run's commands need to know it without the pipeline. */
export interface ManifestNode {
  readonly name: string;
  readonly type: string;
  readonly description?: string;
  readonly axes: readonly string[];
  /** Output port -> its type. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Names of the nodes that its steps read; absent in runs of earlier versions. */
  readonly reads?: readonly string[];
}

/** The machine and the programs that a run had. */
export interface RunEnvironment {
  readonly ranflow: string;
  readonly node: string;
  readonly platform: string;
  readonly arch: string;
  readonly cpu: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  /** As it was asked for: `auto`, or a name. What computed is recorded with each result. */
  readonly backend: string;
  /** Threads of each step, where `--threads` said so. */
  readonly threads?: number;
  readonly packages: Readonly<Record<string, string | undefined>>;
}

/** How the pipeline was opened, as it was written on the command line. */
export interface RunInvocation {
  readonly sets: readonly string[];
  readonly profiles: readonly string[];
  readonly steps: readonly string[];
  readonly axes: readonly string[];
  /** Selectors of `--force`; none where it stood alone, for all that was selected. */
  readonly force?: readonly string[];
  /** Absolute: what relative paths in `sets` start from. */
  readonly cwd: string;
}

export interface RunManifest {
  readonly pipeline: string;
  readonly description?: string;
  readonly invocation: RunInvocation;
  /** The pipeline's file, those that it imports, and the sources of its plugins. */
  readonly files: readonly ManifestFile[];
  readonly nodes: readonly ManifestNode[];
  readonly environment: RunEnvironment;
  /** Of the folder of the pipeline's file, where that lies in a git repository. */
  readonly git?: GitState;
}

/** Keeps the manifest in the run's folder, whole or not at all. File system errors are passed on. */
export async function keepManifest(
  folder: string,
  parts: {
    readonly grid: Grid;
    readonly files: readonly SourceFile[];
    readonly invocation: RunInvocation;
    readonly git: Promise<GitState | undefined>;
    readonly ranflow: string;
    readonly backend: string;
    readonly threads?: number | undefined;
  },
): Promise<void> {
  const { backend, files, grid, invocation, ranflow, threads } = parts;
  const written = files.map(({ path, text }) => ({ path: resolve(invocation.cwd, path), text }));
  const plugins = await pluginFiles(grid);
  const git = await parts.git;
  const manifest: RunManifest = {
    pipeline: grid.pipeline,
    ...(grid.description !== undefined && { description: grid.description }),
    invocation,
    files: [...written, ...plugins],
    nodes: manifestNodes(grid),
    environment: {
      ranflow,
      node: process.version,
      platform: `${platform()} ${release()}`,
      arch: arch(),
      cpu: cpus()[0]?.model ?? "unknown",
      cores: availableParallelism(),
      memory: totalmem(),
      backend,
      ...(threads !== undefined && { threads }),
      packages: packageVersions(packageNames()),
    },
    ...(git && { git }),
  };
  const path = join(folder, manifestFile);
  await writeFile(`${path}.part`, JSON.stringify(manifest));
  await rename(`${path}.part`, path);
}

/** What a run's folder has of it; undefined where the run ended before it was written, gc removed it, or it is damaged. */
export async function readManifest(folder: string): Promise<RunManifest | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, manifestFile), "utf8")) as RunManifest;
  } catch {
    return undefined;
  }
}

function manifestNodes(grid: Grid): readonly ManifestNode[] {
  return grid.nodes.map(({ axes, description, name, steps, type }) => {
    const outputs = grid.steps[steps[0] ?? -1]?.nodeType.outputs ?? {};
    return {
      name,
      type,
      ...(description !== undefined && { description }),
      axes,
      outputs: Object.fromEntries(Object.entries(outputs).map(([port, { type: kind }]) => [port, kind])),
      reads: readNodes(grid, steps),
    };
  });
}

function readNodes(grid: Grid, steps: readonly number[]): readonly string[] {
  const read = new Set<string>();
  for (const index of steps) {
    const step = grid.steps[index];
    for (const input of step?.reads.flatMap((name) => step.inputs[name] ?? []) ?? []) {
      for (const item of input.kind === "one" ? [input] : input.items) {
        const node = grid.steps[item.step]?.node;
        if (node !== undefined) read.add(node);
      }
    }
  }
  return [...read];
}

/** The sources that the grid's plugins were loaded from. One that has changed since is another plugin's by now. */
async function pluginFiles(grid: Grid): Promise<readonly ManifestFile[]> {
  const plugins = new Map<string, PluginSource>();
  for (const { steps } of grid.nodes) {
    const plugin = grid.steps[steps[0] ?? -1]?.nodeType.plugin;
    if (plugin) plugins.set(plugin.path, plugin);
  }
  if (plugins.size === 0) return [];
  const [{ sourcePath }, { digestBytes }] = await Promise.all([
    import("../plugins/source.ts"),
    import("../../cache/hash.ts"),
  ]);
  const sources = new Map<string, string>();
  for (const { path: entry, source } of plugins.values()) {
    for (const [name, digest] of Object.entries(source.files)) sources.set(sourcePath(entry, name), digest);
  }
  const files = await Promise.all(
    [...sources].map(async ([path, digest]) => {
      const bytes = await readFile(path).catch(() => undefined);
      return bytes && digestBytes(bytes) === digest ? [{ path, text: bytes.toString("utf8") }] : [];
    }),
  );
  return files.flat();
}
