import { constants } from "node:fs";
import { chmod, copyFile, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { temporaryPath } from "../../cache/temporary.ts";
import type { Store } from "../../cache/types.ts";
import type { ArtifactRef } from "../model/artifact.ts";
import type { RunResult } from "../model/events.ts";
import type { Grid, GridNode, Step } from "../model/grid.ts";
import type { Planner } from "../plan/types.ts";
import { safeName } from "./step-log.ts";

/** How often a folder that other runs keep replacing is tried. */
const attempts = 20;
/** More text than this is not for a terminal. */
const longestText = 64 * 1024;
/** Says which artifact a results folder holds, so that an unchanged one is left alone. */
export const stampName = ".artifact";

export interface PublishOptions {
  readonly grid: Grid;
  readonly planner: Planner;
  readonly store: Store;
  /** Steps whose results this run had, by execution or from the store. */
  readonly finished: (step: number) => boolean;
}

/** `<store>/results/<pipeline>/<step id>`: where a step's reports can be found under a readable name. */
export function resultsFolder(storeRoot: string, pipeline: string, stepId: string): string {
  return join(storeRoot, "results", safeName(pipeline), safeName(stepId));
}

export interface Published {
  readonly results: readonly RunResult[];
  /** Why a report is missing there: it costs nobody a result, and no other report its place. */
  readonly problem?: Error;
}

/** Copies the tables and figures of a run to a findable place, and lists them for the summary. Never throws. */
export async function publishResults({ grid, planner, store, finished }: PublishOptions): Promise<Published> {
  const results: RunResult[] = [];
  let problem: Error | undefined;
  for (const node of grid.nodes) {
    const first = grid.steps[node.steps[0] ?? -1];
    const ports = first ? reportPorts(first) : [];
    if (ports.length === 0) continue;
    for (const index of node.steps.filter(finished)) {
      const step = grid.steps[index] as Step;
      for (const port of ports) {
        const artifact = planner.outputs(index)?.[port];
        if (!artifact) continue;
        const folder = resultsFolder(store.root, grid.pipeline, step.id);
        const target = ports.length === 1 ? folder : join(folder, safeName(port));
        try {
          if (!(await store.objects.complete(artifact))) continue;
          results.push(await publishOne({ node, step, artifact, store, target }));
        } catch (error) {
          problem ??= new Error(`the report of ${step.id} is not in ${target}: ${(error as Error).message}`);
        }
      }
    }
  }
  return { results, ...(problem && { problem }) };
}

function reportPorts(step: Step): readonly string[] {
  return Object.entries(step.nodeType.outputs)
    .filter(([, port]) => port.type === "report")
    .map(([name]) => name);
}

interface Publication {
  readonly node: GridNode;
  readonly step: Step;
  readonly artifact: ArtifactRef;
  readonly store: Store;
  readonly target: string;
}

async function publishOne({ node, step, artifact, store, target }: Publication): Promise<RunResult> {
  const manifest = await store.objects.manifest(artifact.digest);
  // The place of the stamp is no report's to take.
  const files = Object.entries(manifest.files).filter(([name]) => name.split("/")[0] !== stampName);
  const names = files.map(([name]) => name).toSorted();
  if (!(await isCurrent(target, artifact, names))) {
    // Built aside and put in place by one rename, so that nobody opens half a report.
    const aside = temporaryPath(store.root);
    try {
      for (const [name, file] of files) {
        const path = join(aside, name);
        await mkdir(dirname(path), { recursive: true });
        // A copy, for what is edited here must not change the store's object.
        await copyFile(store.objects.path(file.digest), path, constants.COPYFILE_FICLONE);
        await chmod(path, 0o644);
      }
      await mkdir(aside, { recursive: true });
      await writeFile(join(aside, stampName), artifact.digest);
      await replaceFolder(aside, target, temporaryPath(store.root));
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
  }
  // From the store, for another run may be replacing the folder just now.
  const [, markdown] = files.find(([name]) => name.endsWith(".md")) ?? [];
  const text = markdown && (await readText(store.objects.path(markdown.digest)));
  return {
    step: step.id,
    title: node.description ?? step.id,
    ...(text !== undefined && { text }),
    files: names.map((name) => join(target, name)),
  };
}

/** Puts a folder in the place of another; where several runs do so at once, the last one stays. */
async function replaceFolder(folder: string, target: string, trash: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  for (let left = attempts; ; left--) {
    // Out of the way in one step: nobody sees a folder that is half removed.
    await rename(target, trash).catch(unless("ENOENT"));
    await rm(trash, { recursive: true, force: true });
    const put = await rename(folder, target).then(
      () => true,
      left > 1 ? unless("ENOTEMPTY", "EEXIST") : undefined,
    );
    if (put) return;
  }
}

/** Lets errors with these codes pass. */
function unless(...codes: readonly string[]): (error: NodeJS.ErrnoException) => undefined {
  return (error) => {
    if (!codes.includes(error.code ?? "")) throw error;
  };
}

async function isCurrent(target: string, artifact: ArtifactRef, names: readonly string[]): Promise<boolean> {
  try {
    if ((await readFile(join(target, stampName), "utf8")) !== artifact.digest) return false;
    await Promise.all(names.map((name) => stat(join(target, name))));
    return true;
  } catch {
    return false;
  }
}

async function readText(path: string): Promise<string | undefined> {
  const { size } = await stat(path);
  return size <= longestText ? readFile(path, "utf8") : undefined;
}
