import type { Json } from "../../model/json.ts";
import type { ExportedStep } from "./exported-run.ts";

/** What computed a number of results: results that were in the store were made by other runs. */
export interface Maker {
  readonly run: string;
  readonly host: string;
  readonly ranflow: string;
  readonly node: string;
  /** What nodes told of their computation: backend, threads, versions. */
  readonly [told: string]: Json;
}

/** Results by what computed them, each result once for every step that had it. */
export function computedBy(
  steps: readonly ExportedStep[],
): readonly (Maker & { readonly results: number })[] {
  const makers = new Map<string, { readonly maker: Maker; results: number }>();
  for (const { result } of steps) {
    if (!result) continue;
    const { compute = {}, host, node, ranflow, runId } = result.provenance;
    // What a node tells about its own work, such as how many items it made, is beside its fingerprint.
    const computing = Object.fromEntries(
      Object.entries(compute).filter(([, value]) => typeof value !== "object"),
    );
    const maker: Maker = { run: runId, host, ranflow, node, ...computing };
    const known = makers.get(JSON.stringify(maker));
    if (known) known.results++;
    else makers.set(JSON.stringify(maker), { maker, results: 1 });
  }
  return [...makers.values()].map(({ maker, results }) => ({ ...maker, results }));
}
