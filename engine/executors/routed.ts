import type { Executor } from "./types.ts";

/**
 * Steps go to Slurm or stay here, as their nodes say. What only hashes files stays here: their digests are remembered
 * by what this machine's file system says of them, and two waits in the queue would take longer.
 */
export function routedExecutor({
  local,
  slurm,
}: {
  readonly local: Executor;
  readonly slurm: Executor;
}): Executor {
  return {
    expect: (placement) => (placement.slurm ? slurm : local).expect?.(placement),
    execute(request, placement, listener) {
      const executor = placement.slurm && request.kind === "run" ? slurm : local;
      return executor.execute(request, placement, listener);
    },
    close: async () => void (await Promise.all([local.close(), slurm.close()])),
  };
}
