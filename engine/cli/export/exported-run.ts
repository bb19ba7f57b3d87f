import type { Store } from "../../../cache/types.ts";
import type { ArtifactRef } from "../../model/artifact.ts";
import type { Key, StepId } from "../../model/ids.ts";
import type { StoredResult } from "../../model/plan.ts";
import { nodeOf, pointOf } from "../../plan/step-name.ts";
import { readMeasured } from "../../run/measured.ts";
import { metricsRow } from "../../run/metrics-row.ts";
import type { MetricsRow } from "../../run/metrics-row.ts";
import type { NodeType } from "../../sdk.ts";
import { nodeLibrary } from "../context.ts";
import { readManifest } from "../run-manifest.ts";
import type { RunManifest } from "../run-manifest.ts";
import type { RunResults } from "../run-results.ts";

/** A step of a run with the result that it had; without one where gc removed it. */
export interface ExportedStep {
  readonly step: StepId;
  readonly node: string;
  /** Axis -> label. */
  readonly point: Readonly<Record<string, string>>;
  readonly key: Key;
  readonly result?: StoredResult;
}

/** A run as the store knows it. */
export interface ExportedRun {
  readonly results: RunResults;
  readonly steps: readonly ExportedStep[];
  /** Absent for a tag that came from somebody else, and where the run's folder is gone. */
  readonly manifest?: RunManifest;
  /** Artifacts of a step on ports of a type. */
  artifacts(step: ExportedStep, type: string): readonly (readonly [port: string, artifact: ArtifactRef])[];
}

/** Collects what the store has of a run. */
export async function exportedRun(store: Store, results: RunResults): Promise<ExportedRun> {
  const manifest = results.run && (await readManifest(store.runFolder(results.run)));
  const nodes = new Map(manifest?.nodes.map(({ name, outputs }) => [name, outputs]));
  const steps = results.entries.map(([step, key]): ExportedStep => {
    const result = store.result(key);
    return { step, node: nodeOf(step), point: pointOf(step), key, ...(result && { result }) };
  });
  const library = await nodeLibrary();
  const types = new Map<string | undefined, NodeType | undefined>();
  for (const name of new Set(steps.flatMap(({ result }) => result?.fingerprint.type ?? [])))
    types.set(name, await library.get(name));
  const portType = ({ node, result }: ExportedStep, port: string): string | undefined =>
    nodes.get(node)?.[port] ?? types.get(result?.fingerprint.type)?.outputs[port]?.type;
  return {
    results,
    steps,
    ...(manifest && { manifest }),
    artifacts: (step, type) =>
      Object.entries(step.result?.outputs ?? {}).filter(([port]) => portType(step, port) === type),
  };
}

/** One record per step and metrics port, with its grid point; those whose bytes are gone are left out. */
export async function metricsOf(
  { artifacts, steps }: ExportedRun,
  store: Store,
): Promise<readonly MetricsRow[]> {
  const axes = axesOf(steps);
  const rows: MetricsRow[] = [];
  for (const step of steps) {
    for (const [, { digest }] of artifacts(step, "metrics")) {
      const measured = await readMeasured(store.objects.path(digest));
      if (measured) rows.push(metricsRow({ step: step.step }, step.point, measured, axes));
    }
  }
  return rows;
}

/** The axes that steps have, in the order in which they come. */
export function axesOf(steps: readonly ExportedStep[]): readonly string[] {
  return [...new Set(steps.flatMap(({ point }) => Object.keys(point)))];
}
