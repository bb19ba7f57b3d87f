import type { SlurmExecutorOptions } from "../executors/slurm/executor.ts";
import { fail } from "./exit.ts";

/**
 * What a cluster may need otherwise: RANFLOW_SLURM_GRACE, the seconds in which what a node wrote is seen here, and
 * RANFLOW_SLURM_POLL, the seconds between two looks at the queue while something happens there.
 */
export function slurmSettings(
  env: Readonly<Record<string, string | undefined>>,
): Pick<SlurmExecutorOptions, "grace" | "pace"> {
  const grace = seconds("RANFLOW_SLURM_GRACE", env);
  const poll = seconds("RANFLOW_SLURM_POLL", env);
  return {
    ...(grace !== undefined && { grace }),
    ...(poll !== undefined && { pace: { shortest: poll, longest: Math.max(poll, 8 * poll) } }),
  };
}

/** In milliseconds. */
function seconds(name: string, env: Readonly<Record<string, string | undefined>>): number | undefined {
  const text = env[name];
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (!(value >= 0)) return fail(`${name}=${text}: it is a number of seconds`);
  return 1000 * value;
}
