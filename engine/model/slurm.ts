/** What a node asks of Slurm besides its resources; absent fields are left to the cluster. */
export interface SlurmOptions {
  readonly partition?: string;
  readonly account?: string;
  /** Milliseconds. */
  readonly time?: number;
  /** As `sbatch --gres` takes it; in place of what `resources.gpu` asks for. */
  readonly gres?: string;
  readonly constraint?: string;
  /** Further options of `sbatch`, one text each. */
  readonly options?: readonly string[];
}

/** Names of the executors. */
export const executorNames = ["local", "slurm"] as const;
export type ExecutorName = (typeof executorNames)[number];
