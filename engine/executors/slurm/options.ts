import { join } from "node:path";
import type { Resources } from "../../model/grid.ts";
import type { SlurmOptions } from "../../model/slurm.ts";
import { spentFile } from "../../model/submission.ts";

/** What a step asks of Slurm. Steps with the same shape can go as one array. */
export interface Shape {
  readonly options: SlurmOptions;
  readonly resources: Resources;
  readonly threads: number;
}

export function shapeKey({ options, resources: { cpu, gpu, memory }, threads }: Shape): string {
  const { account, constraint, gres, options: more, partition, time } = options;
  return JSON.stringify([account, constraint, gres, more, partition, time, cpu, gpu, memory, threads]);
}

/** Milliseconds before the end of its time in which a step can save: Slurm looks every half minute or so. */
function warningOf(time: number | undefined): number {
  return time === undefined ? 120_000 : Math.min(300_000, Math.max(30_000, time / 10));
}

export interface Submitted extends Shape {
  readonly token: string;
  readonly folder: string;
  readonly count: number;
}

/** Arguments of `sbatch`, without the script. The user's own come last: of an option that is given twice the last counts. */
export function sbatchArguments({
  count,
  folder,
  options,
  resources,
  threads,
  token,
}: Submitted): readonly string[] {
  const { cpu, gpu, memory } = resources;
  const cores = Math.max(1, Math.ceil(cpu), threads);
  const gres = options.gres ?? (gpu > 0 ? `gpu:${gpu}` : undefined);
  return [
    "--parsable",
    `--array=0-${count - 1}`,
    `--job-name=${jobName(token)}`,
    `--comment=${jobName(token)}`,
    `--output=${folder}/log/%a.txt`,
    "--open-mode=append",
    // Some clusters have it otherwise, and steps read names of folders and secrets from the driver's environment.
    "--export=ALL",
    // What is to be done about a lost step is decided here: it goes on in a submission of its own.
    "--no-requeue",
    "--nodes=1",
    "--ntasks=1",
    `--cpus-per-task=${cores}`,
    `--signal=B:USR2@${Math.round(warningOf(options.time) / 1000)}`,
    ...(memory > 0 ? [`--mem=${Math.ceil(memory / 2 ** 20)}M`] : []),
    ...(gres === undefined ? [] : [`--gres=${gres}`]),
    ...(options.partition === undefined ? [] : [`--partition=${options.partition}`]),
    ...(options.account === undefined ? [] : [`--account=${options.account}`]),
    ...(options.time === undefined ? [] : [`--time=${Math.ceil(options.time / 60_000)}`]),
    ...(options.constraint === undefined ? [] : [`--constraint=${options.constraint}`]),
    ...(options.options ?? []),
  ];
}

/** Name of a submission in the queue: how it is found again by a driver that knows nothing else of it. */
export function jobName(token: string): string {
  return `ranflow-${token}`;
}

/** A worker that has run for so long, in ms, leaves further steps to elements that have all of their time. */
export function reuseFor({ time }: SlurmOptions): number {
  return Math.min(60_000, (time ?? Number.POSITIVE_INFINITY) / 60);
}

export interface ScriptOptions {
  /** The Node that runs this driver: nodes are to have it at the same place. */
  readonly node: string;
  readonly worker: string;
  readonly folder: string;
  readonly threads: number;
  readonly hasGpu: boolean;
}

/** What Slurm runs for each element. Compute libraries read these variables once, when they are loaded. */
export function submissionScript({ folder, hasGpu, node, threads, worker }: ScriptOptions): string {
  return [
    "#!/bin/sh",
    `[ -e ${quoted(join(folder, spentFile))} ] && exit 0`,
    `export RANFLOW_THREADS=${threads} OMP_NUM_THREADS=${threads}`,
    `export TF_NUM_INTRAOP_THREADS=${threads} TF_NUM_INTEROP_THREADS=${threads}`,
    "export TF_FORCE_GPU_ALLOW_GROWTH=true TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}",
    // A step that asked for no GPU must not see any: TensorFlow would take all memory from those that did.
    ...(hasGpu ? [] : ["export CUDA_VISIBLE_DEVICES=-1"]),
    `exec ${quoted(node)} ${quoted(worker)} ${quoted(folder)} "$SLURM_ARRAY_TASK_ID"`,
    "",
  ].join("\n");
}

/** A text as one word of the shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
