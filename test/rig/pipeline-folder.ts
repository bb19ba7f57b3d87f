import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loadGrid } from "../../engine/load/index.ts";
import type { LoadLimits, LoadedGrid } from "../../engine/load/index.ts";
import type { Diagnostic } from "../../engine/model/diagnostic.ts";
import type { Grid, StepInput } from "../../engine/model/grid.ts";
import type { Result } from "../../engine/model/result.ts";
import type { NodeLibrary } from "../../engine/sdk.ts";
import { testLibrary } from "./library.ts";

/** How a pipeline is loaded, beyond its files. */
export interface LoadSettings {
  readonly sets?: readonly string[];
  readonly profiles?: readonly string[];
  readonly library?: NodeLibrary;
  readonly limits?: Partial<LoadLimits>;
}

/** A temporary folder of pipeline files; `p.yaml` is the one that is loaded. */
export interface PipelineFolder {
  readonly path: string;
  write(files: Readonly<Record<string, string>>): Promise<void>;
  load(
    files: Readonly<Record<string, string>>,
    settings?: LoadSettings,
  ): Promise<Result<LoadedGrid, readonly Diagnostic[]>>;
  /** The grid of files that are sound. */
  grid(files: Readonly<Record<string, string>>, settings?: LoadSettings): Promise<Grid>;
  /** What is wrong, as `file:code`, with the messages. */
  problems(files: Readonly<Record<string, string>>, settings?: LoadSettings): Promise<readonly string[]>;
  remove(): Promise<void>;
}

export async function createPipelineFolder(): Promise<PipelineFolder> {
  const path = await mkdtemp(join(tmpdir(), "ranflow-pipelines-"));
  const write: PipelineFolder["write"] = async (files) => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(path, name)), { recursive: true });
      await writeFile(join(path, name), text);
    }
  };
  const load: PipelineFolder["load"] = async (files, settings = {}) => {
    await write(files);
    return loadGrid({ path: "p.yaml", cwd: path, library: testLibrary, sets: [], ...settings });
  };
  return {
    path,
    write,
    load,
    async grid(files, settings) {
      const loaded = await load(files, settings);
      if (loaded.ok) return loaded.value.grid;
      throw new Error(loaded.error.map(describe).join("\n"));
    },
    async problems(files, settings) {
      const loaded = await load(files, settings);
      return (loaded.ok ? loaded.value.warnings : loaded.error).map(describe);
    },
    remove: () => rm(path, { recursive: true, force: true }),
  };
}

function describe({ code, location, message }: Diagnostic): string {
  return `${location?.file.path ?? ""}:${code}: ${message}`;
}

/** Ids of a grid's steps. */
export function stepIds({ steps }: Grid): readonly string[] {
  return steps.map(({ id }) => id);
}

/** What a step reads on an input: ids, for a `many` input with coordinates. */
export function readsOf(grid: Grid, id: string, input: string): unknown {
  const read: StepInput | undefined = grid.steps.find((step) => step.id === id)?.inputs[input];
  if (!read) throw new Error(`no step ${id} with an input ${input} in ${stepIds(grid).join(", ")}`);
  if (read.kind === "one") return grid.steps[read.step]?.id;
  return read.items.map(({ at, step }) => [grid.steps[step]?.id, at]);
}
