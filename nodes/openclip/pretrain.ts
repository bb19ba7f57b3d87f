import { mkdir, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NodeError } from "../../engine/sdk.ts";
import type { Port, RunContext } from "../../engine/sdk.ts";
import type { PretrainOpenClipParams } from "../clip-pretrain-openclip.ts";
import { standardDeviation } from "../clip/caption-noise.ts";
import { formatClipConfig } from "../clip/config-json.ts";
import type { ClipConfig } from "../clip/config.ts";
import { openTokenizer, readClipModel, weightsFile, writeClipModel } from "../clip/folder.ts";
import type { StoredClip } from "../clip/folder.ts";
import { readClipCheckpoint } from "../clip/load-checkpoint.ts";
import { diverged, stepsPerEpoch, warnOfRate, warnOfWarmup } from "../clip/training-plan.ts";
import { takeState } from "../clip/weights.ts";
import { openProgramOutput } from "../exec/output.ts";
import { findProgram } from "../exec/program.ts";
import { removeAll } from "../exec/remove.ts";
import { supervise } from "../exec/supervise.ts";
import { readPairs, writeTable } from "../records.ts";
import { trainingEnvironment } from "./environment.ts";
import { failureReader } from "./failure.ts";
import { launchCommand, openClipOptions, planLaunch } from "./launch.ts";
import type { Launch } from "./launch.ts";
import { trainingPlan } from "./plan.ts";
import { followTraining } from "./progress.ts";
import { openClipPython } from "./python.ts";
import type { OpenClipPython } from "./python.ts";
import { checkpointKeeper, epochFile, resumePoint } from "./resume.ts";
import type { ResumePoint } from "./resume.ts";
import { trainingSamples } from "./samples.ts";
import type { ImageSize } from "./samples.ts";
import { writeShards } from "./shards.ts";

type Context = RunContext<
  PretrainOpenClipParams,
  { pairs: Port & { type: "pairs" }; init: Port & { type: "clip-model" } },
  { model: Port & { type: "clip-model" }; log: Port & { type: "table" } }
>;

/** What OpenCLIP calls the model's configuration. */
const modelName = "ranflow-model";

/** A training that is all prepared. */
interface Prepared {
  readonly python: OpenClipPython;
  readonly launch: Launch;
  readonly env: Readonly<Record<string, string>>;
  readonly config: ClipConfig;
  readonly perEpoch: number;
  /** What `train.py` reads, but for OpenCLIP's options. */
  readonly settings: { readonly shards: readonly string[]; readonly [name: string]: unknown };
  /** Path of the initial weights. */
  readonly weights: string;
}

/** The work of `clip.pretrain-openclip`. */
export async function pretrainByOpenClip(context: Context): Promise<void> {
  const { inputs, outputs, params, scratch, log } = context;
  const stored = await readClipModel(inputs.init);
  refuseOtherTowers(stored.config);
  if (params.epochs === 0) {
    await writeClipModel(outputs.model.path, stored);
    return writeTable(outputs.log.path, []);
  }
  warnOfRate(params, stored.state, log);
  // Processes of Python talk through sockets there, whose paths have about a hundred characters at most.
  const temporary = await mkdtemp(join(tmpdir(), "ranflow-"));
  try {
    const prepared = await prepare(context, stored, temporary);
    const { device, machines, processes } = prepared.launch;
    const checkpoint = context.checkpoint(`openclip-${device}-${machines * processes}`);
    const logs = join(scratch, "logs");
    const rows = await train(context, prepared, { checkpoint, logs, from: await resumePoint(checkpoint) });
    const view = await readClipCheckpoint([epochFile(logs, params.epochs)]);
    await writeClipModel(outputs.model.path, { ...stored, state: takeState(view, stored.config) });
    await writeTable(outputs.log.path, rows);
  } finally {
    await removeAll(temporary);
    await removeAll(scratch);
  }
}

function refuseOtherTowers({ vision_cfg: vision, text_cfg: text }: ClipConfig): void {
  const named: Readonly<Record<string, string>> = { "timm-vit": "a ViT of timm", bert: "BERT" };
  const other = named[vision.tower] ?? named[text.tower];
  if (other === undefined) return;
  throw new NodeError(
    `this model has ${other}, which OpenCLIP builds only from libraries and hubs of its own`,
    {
      hint: "train it with `clip.pretrain`",
    },
  );
}

/** Finds Python, decides where to train, and writes all that `train.py` reads. */
async function prepare(context: Context, stored: StoredClip, temporary: string): Promise<Prepared> {
  const { inputs, params, scratch, seed, signal, blobs, log } = context;
  const { config, state } = stored;
  const [shardFolder, modelFolder] = [join(scratch, "shards"), join(scratch, "model")];
  for (const folder of [shardFolder, modelFolder]) await mkdir(folder);
  const env = trainingEnvironment(context, temporary);
  const command = params.python ?? env["RANFLOW_PYTHON"] ?? "python3";
  const python = await openClipPython(command, { env, work: scratch, signal });

  const pairs = await readPairs(inputs.pairs.path);
  const perEpoch = stepsPerEpoch(pairs.length, params);
  warnOfWarmup(params, perEpoch * params.epochs, log);
  const launch = planLaunch(params, { gpus: python.gpus, env, pairs: pairs.length });
  context.provenance({
    backend: `openclip-${launch.device}`,
    threads: context.compute.threads,
    processes: launch.machines * launch.processes,
    ...python.versions,
  });

  const tokenizer = await openTokenizer(stored);
  const files = await blobs.locate(pairs.map(({ image }) => image));
  const sizes: ImageSize[] = [];
  const samples = trainingSamples(
    pairs.map((pair, index) => ({ pair, file: files[index]!, tokens: tokenizer.encode(pair.caption) })),
    config,
    {
      augment: params.augment,
      spread: standardDeviation(state.get("token_embedding.weight")?.data ?? new Float32Array()),
      onSize: ({ width, height }) => {
        signal.throwIfAborted();
        sizes.push({ width, height });
      },
    },
  );
  const shards = await writeShards(shardFolder, samples);
  log(`${pairs.length} pairs in ${shards.length} WebDataset shard${shards.length === 1 ? "" : "s"}`);

  const plan = join(scratch, "plan.npy");
  const sized = pairs.map(({ id }, index) => ({ id, size: sizes[index]! }));
  await writeFile(plan, trainingPlan(sized, { ...params, perEpoch, seed }));
  const modelConfig = join(modelFolder, `${modelName}.json`);
  await writeFile(modelConfig, JSON.stringify(formatClipConfig(config).model_cfg));
  // OpenCLIP tells formats by the ends of names, which files of the store have not.
  const weights = join(modelFolder, weightsFile);
  await symlink(inputs.init.file(weightsFile).path, weights);
  const hasNoise = pairs.some(({ captionNoise: noise }) => noise !== undefined);
  const settings = {
    shards,
    plan,
    modelConfig,
    device: launch.device,
    batchSize: params.batchSize,
    parts: params.accumulation,
    imageSize: config.vision_cfg.image_size,
    contextLength: config.text_cfg.context_length,
    noiseWidth: hasNoise ? config.text_cfg.width : null,
    ...config.preprocess_cfg,
  };
  return { python, launch, env, config, perEpoch, settings, weights };
}

/** Runs torchrun to its end and keeps checkpoints on the way. Gives the rows of the training's log. */
async function train(
  context: Context,
  prepared: Prepared,
  {
    checkpoint,
    logs,
    from,
  }: {
    readonly checkpoint: ReturnType<Context["checkpoint"]>;
    readonly logs: string;
    readonly from: ResumePoint | undefined;
  },
) {
  const { params, scratch, signal, log } = context;
  const { env, launch, perEpoch } = prepared;
  const total = perEpoch * params.epochs;
  if (from) log(`going on from epoch ${from.epochs} of ${params.epochs}`);
  const keeper = checkpointKeeper(checkpoint, logs, from?.epochs ?? 0);
  const ended = new AbortController();
  let trouble: { readonly what: string; readonly step: number } | undefined;
  const training = followTraining(
    context,
    { ...params, base: params.learningRate, total },
    {
      perEpoch,
      from,
      onEpoch: (reached) => {
        if (checkpoint.due()) keeper.keep(reached);
      },
      onTrouble: (what, step) => {
        trouble = { what, step };
        ended.abort();
      },
    },
  );
  const options = openClipOptions(params, launch, {
    files: {
      model: modelName,
      weights: prepared.weights,
      shard: prepared.settings.shards[0]!,
      logs,
      resume: from?.path,
    },
  });
  const settings = join(scratch, "settings.json");
  await writeFile(settings, JSON.stringify({ ...prepared.settings, options }));
  const script = [fileURLToPath(new URL("./train.py", import.meta.url)), settings];
  const rendezvous = `${hostname()}:${launch.machines > 1 ? await freePort() : 0}`;
  const [command = "", ...args] = launchCommand(prepared.python.file, launch, { env, rendezvous, script });
  const failure = failureReader();
  const take = (line: string): boolean => {
    failure.take(line);
    return training.take(line);
  };
  const output = openProgramOutput(context, undefined, { take });
  const end = await supervise(
    {
      file: await findProgram(command, { path: env["PATH"], work: scratch }),
      command,
      args,
      cwd: scratch,
      env,
    },
    {
      signal: AbortSignal.any([signal, ended.signal]),
      grace: params.graceSeconds * 1000,
      output,
      warn: (message) => log(message, "warning"),
    },
  );
  await output.close();
  if (trouble) {
    const kept = await keeper.settled();
    throw diverged(
      trouble.what,
      { step: trouble.step, total, kept: kept > 0 ? `the checkpoint of epoch ${kept}` : undefined },
      params,
    );
  }
  // Whatever ended it, the next start goes on from the last epoch that is complete.
  if (signal.aborted || end.code !== 0) keeper.keep(training.reached());
  await keeper.settled();
  signal.throwIfAborted();
  failure.check(end, output.tail());
  return training.log().rows;
}

/** A port of this machine that nobody listens on at the moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("internal error: no port");
  return address.port;
}
