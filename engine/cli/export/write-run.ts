import { constants } from "node:fs";
import { chmod, copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { mapLimit } from "../../../cache/pool.ts";
import type { Store } from "../../../cache/types.ts";
import { ranflowVersion } from "../../../cache/version.ts";
import type { Digest } from "../../model/ids.ts";
import type { Scalar } from "../../model/json.ts";
import { csvText } from "../../report/csv.ts";
import { axisColumn } from "../../run/metrics-row.ts";
import { safeName } from "../../run/step-log.ts";
import { computedBy } from "./computed-by.ts";
import { axesOf, metricsOf } from "./exported-run.ts";
import type { ExportedRun, ExportedStep } from "./exported-run.ts";
import { layoutOf, withoutHome } from "./layout.ts";
import { readmeText } from "./readme.ts";

/** What an export holds, and what could not be had any more. */
export interface ExportReport {
  readonly steps: number;
  /** Steps whose results gc removed. */
  readonly gone: number;
  readonly metrics: number;
  /** Tables and figures. */
  readonly reports: number;
  /** Tables and figures whose bytes gc removed. */
  readonly reportsGone: number;
  readonly pipelineFiles: number;
}

const atOnce = 16;

/** Writes a run into an empty folder. File system errors are passed on. */
export async function writeRun(run: ExportedRun, store: Store, folder: string): Promise<ExportReport> {
  const layout = layoutOf(run.manifest?.files.map(({ path }) => path) ?? []);
  for (const { path, text } of run.manifest?.files ?? [])
    await put(join(folder, "pipeline", layout.get(path) ?? ""), text);
  await mapLimit(run.steps, atOnce, (step) => writeStep(step, folder));
  await put(join(folder, "steps.csv"), stepsCsv(run.steps));
  await writeData(run.steps, store, folder);
  const metrics = await metricsOf(run, store);
  const axes = axesOf(run.steps).map(axisColumn);
  const columns = [...new Set(["step", ...axes, ...metrics.flatMap((row) => Object.keys(row))])];
  await put(join(folder, "metrics.csv"), csvText(columns, metrics));
  await put(join(folder, "metrics.json"), json(metrics));
  await put(join(folder, "run.json"), json(runRecord(run, layout.get(run.manifest?.files[0]?.path ?? ""))));
  await put(join(folder, "environment.json"), json(environment(run)));
  const reports = await writeReports(run, store, folder);
  const report = {
    steps: run.steps.length,
    gone: run.steps.filter(({ result }) => !result).length,
    metrics: metrics.length,
    ...reports,
    pipelineFiles: layout.size,
  };
  await put(join(folder, "README.md"), readmeText(run, { ...report, layout }));
  return report;
}

/** Everything that may change the step's outputs, what came out, and how it was made: not where anything lies. */
async function writeStep({ key, node, result, step }: ExportedStep, folder: string): Promise<void> {
  const path = join(folder, "fingerprints", safeName(node), `${safeName(step)}.json`);
  const { fingerprint, outputs, provenance } = result ?? {};
  await put(path, json({ step, key, ...(result ? { fingerprint, outputs, provenance } : { gone: true }) }));
}

function stepsCsv(steps: readonly ExportedStep[]): string {
  const made = ["run", "finished", "seconds", "host", "ranflow", "backend", "threads"];
  const columns = ["step", "type", "version", "seed", "key", ...made];
  const rows = steps.map(({ key, result, step }): Record<string, Scalar | undefined> => {
    if (!result) return { step, key };
    const { fingerprint, provenance } = result;
    const { compute, finishedAt, host, ranflow, runId, startedAt } = provenance;
    const told = (name: string): string | undefined =>
      compute?.[name] === undefined ? undefined : String(compute[name]);
    return {
      step,
      key,
      type: fingerprint.type,
      version: fingerprint.version,
      seed: fingerprint.seed,
      run: runId,
      finished: new Date(finishedAt).toISOString(),
      seconds: (finishedAt - startedAt) / 1000,
      host,
      ranflow,
      backend: told("backend"),
      threads: told("threads"),
    };
  });
  return csvText(columns, rows);
}

/** The files outside the store that steps read: names within their dataset, and content; not where they lie. */
async function writeData(steps: readonly ExportedStep[], store: Store, folder: string): Promise<void> {
  const lists = new Map<Digest, string>();
  for (const { result } of steps) {
    const { external, type } = result?.fingerprint ?? {};
    if (external && type) lists.set(external.digest, type);
  }
  for (const [digest, type] of lists) {
    const text = await readFile(store.objects.path(digest), "utf8").catch(() => undefined);
    if (text === undefined) continue;
    const files = JSON.parse(text) as readonly (readonly [string, string, number?])[];
    const rows = files.map(([name, content, bytes]) => ({ name, digest: content, bytes }));
    const name = `${safeName(type)}-${digest.slice(7, 19)}.csv`;
    await put(join(folder, "data", name), csvText(["name", "digest", "bytes"], rows));
  }
}

function runRecord({ manifest, results, steps }: ExportedRun, main: string | undefined): object {
  const { label, run, pipeline, at, whole } = results;
  const { cwd: _, ...invocation } = manifest?.invocation ?? {};
  return {
    run: run ?? null,
    named: label,
    pipeline,
    ...(manifest?.description !== undefined && { description: manifest.description }),
    ended: new Date(at).toISOString(),
    whole,
    steps: steps.length,
    ...(manifest && {
      file: `pipeline/${main}`,
      invocation,
      git: manifest.git ?? null,
      nodes: manifest.nodes,
    }),
    exportedBy: `ranflow ${ranflowVersion()}`,
  };
}

/** The machine of the run, and what computed its results. */
function environment({ manifest, steps }: ExportedRun): object {
  return { run: manifest?.environment ?? null, results: computedBy(steps) };
}

async function writeReports(
  run: ExportedRun,
  store: Store,
  folder: string,
): Promise<Pick<ExportReport, "reports" | "reportsGone">> {
  let [reports, reportsGone] = [0, 0];
  for (const step of run.steps) {
    const ports = run.artifacts(step, "report");
    for (const [port, artifact] of ports) {
      if (!(await store.objects.complete(artifact).catch(() => false))) {
        reportsGone++;
        continue;
      }
      reports++;
      const target = join(
        folder,
        "results",
        safeName(step.step),
        ...(ports.length > 1 ? [safeName(port)] : []),
      );
      const { files } = await store.objects.manifest(artifact.digest);
      for (const [name, { digest }] of Object.entries(files)) {
        await mkdir(dirname(join(target, name)), { recursive: true });
        await copyFile(store.objects.path(digest), join(target, name), constants.COPYFILE_FICLONE);
        await chmod(join(target, name), 0o644);
      }
    }
  }
  return { reports, reportsGone };
}

function json(value: unknown): string {
  return withoutHome(`${JSON.stringify(value, undefined, 2)}\n`);
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
