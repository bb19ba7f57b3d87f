import type { Store } from "../../../cache/types.ts";
import { traceResults } from "../../plan/trace.ts";
import type { TracedResult } from "../../plan/trace.ts";
import { nodeOf } from "../../plan/step-name.ts";
import type { LineageRow } from "../../report/page/page-data.ts";
import type { ExportedRun, ExportedStep } from "../export/exported-run.ts";

/** Keys that stand beside a node; its other steps are in the table of all steps. */
const keysShown = 3;

/** What a step's result was made from, node by node, from the nearest to the sources. */
export function lineageOf(
  { results }: ExportedRun,
  store: Store,
  { key, step }: ExportedStep,
): readonly LineageRow[] {
  const { results: traced } = traceResults({
    roots: [{ key, step }],
    entries: results.entries,
    result: store.result,
    keys: store.keys,
  });
  const [, ...sources] = traced;
  const nodes = Map.groupBy(sources, ({ key: own, result, steps }) =>
    steps[0] === undefined ? `${result.fingerprint.type} ${own}` : nodeOf(steps[0]),
  );
  return [...nodes].map(([node, of]) => lineageRow(node, of));
}

function lineageRow(node: string, of: readonly TracedResult[]): LineageRow {
  const unique = <T>(values: readonly T[]): readonly T[] => [...new Set(values)];
  const data = of.flatMap(({ result: { fingerprint } }) => {
    const { external } = fingerprint;
    return external ? [`${external.count} files, list ${external.digest.slice(7, 19)}`] : [];
  });
  return {
    node,
    type: of[0]?.result.fingerprint.type ?? "",
    steps: of.length,
    keys: of.slice(0, keysShown).map(({ key }) => key),
    runs: unique(of.map(({ result }) => result.provenance.runId)),
    data: unique(data),
  };
}
