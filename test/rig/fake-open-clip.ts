/**
 * Stands in for a Python with OpenCLIP: answers what `probe.py` asks, and trains as far as log and checkpoints go. Its first
 * argument is a file with a FakeOpenClip; the others are what Python gets.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readCheckpoint } from "../../nodes/checkpoints/checkpoint.ts";
import { readSafetensors } from "../../nodes/safetensors.ts";
import { tensor, torchFile } from "./torch-file.ts";

/** What the stand-in does. */
export interface FakeOpenClip {
  /** What the probe finds; text is printed as it is. */
  readonly probe?: object | string;
  /** The training waits for its end at this step (0-based) of all. */
  readonly hangAt?: number;
  /** The training fails there, and prints this. */
  readonly failAt?: { readonly step: number; readonly lines: readonly string[]; readonly code: number };
  /** The loss is no number there. */
  readonly nanAt?: number;
  /** Where the arguments of each training are appended, one line of JSON each. */
  readonly calls: string;
}

interface Settings {
  readonly plan: string;
  readonly batchSize: number;
  readonly options: readonly string[];
}

const [behaviourFile = "", ...args] = process.argv.slice(2);
const behaviour = JSON.parse(readFileSync(behaviourFile, "utf8")) as FakeOpenClip;
const say = (text: string): boolean => process.stderr.write(`${text}\n`);
const info = (text: string): boolean => say(`2026-01-01,00:00:00 | INFO | ${text}`);

if (args[0]?.endsWith("probe.py")) probe();
else await train(JSON.parse(readFileSync(args.at(-1) ?? "", "utf8")) as Settings);

function probe(): void {
  const whole = {
    python: "3.12.1",
    absent: [],
    broken: {},
    versions: { torch: "2.9.0", open_clip: "3.1.0" },
    gpus: 0,
  };
  const { probe: found = whole } = behaviour;
  process.stdout.write(typeof found === "string" ? found : `\n${JSON.stringify({ ranflow: found })}\n`);
}

async function train({ plan, batchSize, options }: Settings): Promise<void> {
  const option = (name: string): string => options[options.indexOf(`--${name}`) + 1] ?? "";
  const resume = options.includes("--resume") ? option("resume") : undefined;
  writeFileSync(behaviour.calls, `${JSON.stringify({ args, options })}\n`, { flag: "a" });
  const [, epochs = 0, samples = 0] = /\((\d+), (\d+)/.exec(readFileSync(plan, "latin1")) ?? [];
  const perEpoch = Math.ceil(Number(samples) / batchSize);
  const folder = join(option("logs"), "run", "checkpoints");
  mkdirSync(folder, { recursive: true });
  const { tensors } = await readSafetensors(option("pretrained"));

  info("Model:");
  say("CLIP(\n  (visual): VisionTransformer()\n)");
  info("Params:");
  info("  accum_freq: 1");
  const saved = resume === undefined ? undefined : await readCheckpoint(resume);
  const first = saved?.tensors.get("module.logit_scale")?.data[0] ?? 0;
  for (let epoch = Number(first); epoch < Number(epochs); epoch++) {
    info(`Start epoch ${epoch}`);
    for (let batch = 0; batch < perEpoch; batch++) {
      const step = epoch * perEpoch + batch;
      if (step === behaviour.hangAt) await new Promise((resolve) => setTimeout(resolve, 2 ** 30));
      if (step === behaviour.failAt?.step) {
        behaviour.failAt.lines.forEach(say);
        process.exit(behaviour.failAt.code);
      }
      const loss = step === behaviour.nanAt ? "nan" : (3 - step / 100).toFixed(4);
      info(
        `Train Epoch: ${epoch} [${batch + 1}/${samples} (50%)] Data (t): 0.008 Batch (t): 0.185, 86.6118/s, 43.3059/s/gpu ` +
          `LR: 0.000200 Logit Scale: 14.286 Contrastive_loss: ${loss} (${loss}) Loss: ${loss} (${loss})`,
      );
    }
    writeFileSync(join(folder, `epoch_${epoch + 1}.pt`), checkpoint(tensors, epoch + 1));
    const before = join(folder, `epoch_${epoch}.pt`);
    if (existsSync(before)) rmSync(before);
  }
}

/** The initial weights in OpenCLIP's wrapping; the logit scale says the epoch. */
function checkpoint(tensors: Awaited<ReturnType<typeof readSafetensors>>["tensors"], epoch: number): Buffer {
  const storages: Record<string, Uint8Array> = {};
  const state = new Map(
    [...tensors].map(([name, { shape, data: initial }]) => {
      const data = name === "logit_scale" ? Float32Array.of(epoch) : initial;
      storages[name] = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return [`module.${name}`, tensor({ key: name, count: data.length, shape })] as const;
    }),
  );
  const wrapped = new Map<string, unknown>([
    ["epoch", epoch],
    ["name", "run"],
    ["state_dict", state],
    ["optimizer", new Map()],
  ]);
  return torchFile(wrapped as never, storages);
}
