import { NodeError } from "../../engine/sdk.ts";
import type { PretrainOpenClipParams } from "../clip-pretrain-openclip.ts";
import { weightDecayOf } from "../clip/training-plan.ts";
import type { OpenClipPython } from "./python.ts";

/** Where the processes of a training run. */
export interface Launch {
  readonly device: "cpu" | "cuda";
  /** Of a Slurm allocation; 1 outside of any. */
  readonly machines: number;
  /** On each machine. */
  readonly processes: number;
}

/**
 * Decides where to train: on all GPUs that torch sees, one process each, else on processors; on all machines of the
 * Slurm allocation that the step has for itself.
 *
 * @param env the step's environment, with Slurm's variables
 * @throws NodeError where the parameters ask for what is not there, or batches cannot be shared out evenly
 */
export function planLaunch(
  { device, machines, processes, batchSize, accumulation, dropLast }: PretrainOpenClipParams,
  {
    gpus,
    env,
    pairs,
  }: Pick<OpenClipPython, "gpus"> & {
    readonly env: Readonly<Record<string, string>>;
    readonly pairs: number;
  },
): Launch {
  if (device === "cuda" && gpus === 0) {
    throw new NodeError("`device: cuda` asks for GPUs, and this Python's torch sees none", {
      hint: "give the node `resources: { gpu: 1 }` and a torch that was built for CUDA, or set `device: auto`",
    });
  }
  const chosen = device === "auto" ? (gpus > 0 ? "cuda" : "cpu") : device;
  const each = processes ?? (chosen === "cuda" ? gpus : 1);
  if (chosen === "cuda" && each > gpus) {
    throw new NodeError(`\`processes: ${each}\` asks for more GPUs than there are for this step (${gpus})`, {
      hint: `give the node \`resources: { gpu: ${each} }\`, or lower \`processes\``,
    });
  }
  const allocated = Number(env["SLURM_JOB_NUM_NODES"] ?? 1);
  const taken = machines ?? allocated;
  if (taken > allocated) {
    throw new NodeError(`\`machines: ${taken}\` asks for more than this step has (${allocated})`, {
      hint: "several machines are those of a Slurm allocation that the step runs in",
    });
  }
  const all = taken * each;
  const shares = all * accumulation;
  const inParts = accumulation === 1 ? "" : ` with \`accumulation: ${accumulation}\``;
  if (batchSize % shares !== 0) {
    throw new NodeError(
      `batches of ${batchSize} cannot be shared out evenly between ${all} processes${inParts}`,
      {
        hint: `make \`batchSize\` a multiple of ${shares}, or set \`processes\``,
      },
    );
  }
  const rest = pairs % batchSize;
  if (!dropLast && rest >= 2 && rest % shares !== 0) {
    throw new NodeError(
      `the last batch of an epoch, of ${rest} pairs, cannot be shared out evenly between ${all} processes${inParts}`,
      { hint: "set `dropLast: true`, or `processes: 1`" },
    );
  }
  return { device: chosen, machines: taken, processes: each };
}

/**
 * The command that starts a training's processes: torchrun, which on several machines Slurm starts once on each.
 *
 * @param rendezvous `host:port` on this machine where the others meet
 * @param script what torchrun starts, and its arguments
 */
export function launchCommand(
  python: string,
  { machines, processes }: Pick<Launch, "machines" | "processes">,
  {
    env,
    rendezvous,
    script,
  }: {
    readonly env: Readonly<Record<string, string>>;
    readonly rendezvous: string;
    readonly script: readonly string[];
  },
): readonly string[] {
  const torchrun = [python, "-m", "torch.distributed.run", `--nproc-per-node=${processes}`];
  if (machines === 1) return [...torchrun, "--standalone", ...script];
  const cpus = env["SLURM_CPUS_PER_TASK"];
  return [
    "srun",
    `--nodes=${machines}`,
    `--ntasks=${machines}`,
    "--ntasks-per-node=1",
    // Since Slurm 22.05 a step does not inherit it.
    ...(cpus === undefined ? [] : [`--cpus-per-task=${cpus}`]),
    "--kill-on-bad-exit=1",
    // What started this step may itself hold the allocation's resources.
    "--overlap",
    "--export=ALL",
    ...torchrun,
    `--nnodes=${machines}`,
    "--rdzv-backend=c10d",
    `--rdzv-endpoint=${rendezvous}`,
    `--rdzv-id=${env["SLURM_JOB_ID"] ?? "ranflow"}`,
    ...script,
  ];
}

/** Options of `open_clip_train` for a training. */
export function openClipOptions(
  params: PretrainOpenClipParams,
  { device, machines, processes }: Launch,
  {
    files,
  }: {
    readonly files: {
      /** Name of the model's configuration. */
      readonly model: string;
      readonly weights: string;
      readonly shard: string;
      /** Folder of the training's own; `run` below it is what it writes. */
      readonly logs: string;
      /** A checkpoint to go on from. */
      readonly resume?: string | undefined;
    };
  },
): readonly string[] {
  const all = machines * processes;
  const options: Readonly<Record<string, string | number | boolean | undefined>> = {
    model: files.model,
    pretrained: files.weights,
    "train-data": files.shard,
    "dataset-type": "webdataset",
    logs: files.logs,
    name: "run",
    resume: files.resume,
    device,
    "batch-size": params.batchSize / all / params.accumulation,
    "accum-freq": params.accumulation,
    epochs: params.epochs,
    lr: params.learningRate,
    warmup: params.warmup,
    "lr-scheduler": params.schedule === "constant" ? "const" : "cosine",
    // Without weight decay, which `check` sees to, Adam is AdamW.
    opt: "adamw",
    wd: weightDecayOf(params),
    beta1: params.beta1,
    beta2: params.beta2,
    eps: params.eps,
    precision: params.precision === "float32" ? "fp32" : "amp_bf16",
    workers: params.workers,
    // Every process computes the loss of the whole batch, so that the one which is logged is that.
    "gather-with-grad": true,
    "grad-checkpointing": params.recompute,
    "log-every-n-steps": 1,
    "save-frequency": 1,
    "delete-previous-checkpoint": true,
  };
  return Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? [`--${name}`] : [`--${name}`, String(value)];
  });
}
