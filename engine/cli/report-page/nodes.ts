import type { PageNode, PageStep } from "../../report/page/page-data.ts";
import type { ExportedRun, ExportedStep } from "../export/exported-run.ts";

/** The nodes of a run in the order of its graph, with what their results took. Shards are left out. */
export function pageNodes({ manifest, results, steps }: ExportedRun): readonly PageNode[] {
  const byNode = Map.groupBy(steps, ({ node }) => node);
  const known = new Map(manifest?.nodes.map((node) => [node.name, node]));
  const names = [...new Set([...known.keys(), ...byNode.keys()])];
  return names.map((name) => {
    const own = byNode.get(name) ?? [];
    const { description, reads = [], type } = known.get(name) ?? {};
    const distinct = [...new Map(own.map((step) => [step.key, step])).values()];
    const times = distinct.flatMap(({ result }) =>
      result ? [result.provenance.finishedAt - result.provenance.startedAt] : [],
    );
    const made = distinct.filter(({ result }) => result?.provenance.runId === results.run).length;
    return {
      name,
      type: type ?? own.find(({ result }) => result)?.result?.fingerprint.type ?? "",
      ...(description !== undefined && { description }),
      steps: own.length,
      reads,
      made,
      reused: distinct.length - made,
      total: times.reduce((sum, value) => sum + value, 0),
      longest: Math.max(0, ...times),
      memory: Math.max(0, ...distinct.map(({ result }) => result?.provenance.peakMemory ?? 0)),
    };
  });
}

/** Every step with where its result is from. */
export function pageSteps(steps: readonly ExportedStep[]): readonly PageStep[] {
  return steps.map(({ key, result, step }) => {
    if (!result) return { step, key };
    const { compute, finishedAt, runId, startedAt } = result.provenance;
    const backend = compute?.["backend"];
    return {
      step,
      key,
      run: runId,
      finished: finishedAt,
      duration: finishedAt - startedAt,
      ...(typeof backend === "string" && { backend }),
    };
  });
}
