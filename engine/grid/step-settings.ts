import type { Step } from "../model/grid.ts";
import { resolve } from "../load/interpolation.ts";
import type { LabelOf } from "../load/interpolation.ts";
import type { NodeSpec } from "../load/nodes.ts";
import type { Report } from "../load/report.ts";
import { readBoolean, readDuration, readResources, readWhole } from "../load/settings.ts";
import { readExecutor, readSlurm, withSlurm } from "../load/slurm.ts";
import type { Tree } from "../load/tree.ts";

/** What a step takes from its node's fields besides inputs and parameters. */
export type StepSettings = Pick<Step, "seed" | "resources" | "retries" | "timeout" | "slurm" | "cache"> & {
  /** Steps that share the work; 1 for none but the step itself. */
  readonly shards: number;
};

const mostRetries = 100;
export const mostShards = 1000;

/** A node's settings at a grid point; what is wrong is in the report. */
export function stepSettings(
  { nodeType, pipelineSeed, placement, scope, settings }: NodeSpec,
  labelOf: LabelOf,
  { report }: { readonly report: Report },
): StepSettings {
  const value = (name: string): Tree | undefined => {
    const tree = settings.get(name);
    return tree && resolve(tree, scope, labelOf, report);
  };
  const seed = value("seed");
  const retries = value("retries");
  const timeout = value("timeout");
  const cache = value("cache");
  const executor = value("executor");
  const slurm = value("slurm");
  const own = slurm && readSlurm(slurm, report);
  const isSlurm = (executor ? readExecutor(executor, report) : placement.executor) === "slurm";
  const shards = value("shards");
  return {
    seed: seed ? readWhole("seed", seed, report) : pipelineSeed,
    resources: readResources(nodeType, value("resources"), report),
    retries: retries ? readWhole("retries", retries, report, mostRetries) : 0,
    ...(timeout && { timeout: readDuration("timeout", timeout, report) }),
    ...(isSlurm && { slurm: withSlurm(placement.slurm, own) }),
    cache: cache ? readBoolean("cache", cache, report) : true,
    shards: shards ? readWhole("shards", shards, report, mostShards, 1) : 1,
  };
}
