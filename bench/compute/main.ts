import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { markdownTable, median, writeSection } from "../results.ts";
import { captionLengths, pairs } from "./pairs.ts";
import type { Pair } from "./pairs.ts";
import { pythonEnvironment } from "./python.ts";
import { startSide } from "./side.ts";
import type { Measurement } from "./side.ts";

/** What was measured of one pair. Ratios are torch's time over ours: above 1 we are faster. */
interface Comparison {
  readonly name: string;
  readonly title: string;
  readonly floor: number | null;
  readonly stretch: number | null;
  /** Median of the ratios of neighbouring measurements. */
  readonly ratio: number;
  readonly cpuRatio: number;
  /** Median seconds of one time. */
  readonly torchSeconds: number;
  readonly ourSeconds: number;
  readonly torchPeak: number;
  readonly ourPeak: number;
}

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string" },
    python: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const chosen = options.only === undefined ? pairs : pairs.filter(({ name }) => name === options.only);
if (chosen.length === 0) {
  console.error(`there is no pair ${options.only}; there are ${pairs.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}
const environment = pythonEnvironment(options.python);
try {
  const results: Comparison[] = [];
  for (const pair of chosen) {
    const result = await compare(pair, environment.python, Number(options.rounds));
    results.push(result);
    console.log(options.json ? JSON.stringify(result) : lineOf(result));
  }
  if (chosen.length === pairs.length) writeSection(report(results));
} finally {
  environment.remove();
}

/** Both sides stay loaded and take turns, so that a busy minute of the machine falls on both. */
async function compare(pair: Pair, python: string, rounds: number): Promise<Comparison> {
  const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const threads = options.threads ?? String(pair.threads);
  const shared = { ...pair, threads: Number(threads), captionLengths };
  const torch = await startSide(python, [here("torch_side.py")], shared, {
    OMP_NUM_THREADS: threads,
    MKL_NUM_THREADS: threads,
  });
  const ours = await startSide(process.execPath, [here("our-side.ts")], shared, {
    TF_NUM_INTRAOP_THREADS: threads,
  });
  const measured: { torch: Measurement; ours: Measurement }[] = [];
  for (let round = 0; round < rounds; round++) {
    measured.push({ torch: await torch.measure(), ours: await ours.measure() });
  }
  const each = (value: (one: (typeof measured)[number]) => number): number => median(measured.map(value));
  return {
    name: pair.name,
    title: pair.title,
    floor: pair.floor ?? null,
    stretch: pair.stretch ?? null,
    ratio: each((one) => one.torch.wall / one.ours.wall),
    cpuRatio: each((one) => one.torch.cpu / one.ours.cpu),
    torchSeconds: each((one) => one.torch.wall) / pair.repeats,
    ourSeconds: each((one) => one.ours.wall) / pair.repeats,
    torchPeak: await torch.close(),
    ourPeak: await ours.close(),
  };
}

function lineOf({ name, ratio, cpuRatio, torchSeconds, ourSeconds, torchPeak, ourPeak }: Comparison): string {
  return (
    `${name}: torch ${seconds(torchSeconds)}, ours ${seconds(ourSeconds)}, ratio ${ratio.toFixed(2)} ` +
    `(of CPU time ${cpuRatio.toFixed(2)}), peak memory ${gigabytes(torchPeak)} and ${gigabytes(ourPeak)}`
  );
}

function report(results: readonly Comparison[]): string {
  const table = markdownTable(
    ["work", "torch", "ours", "ratio", "of CPU time", "floor", "stretch", "memory: torch", "ours", "ratio"],
    results.map((one) => [
      one.title,
      seconds(one.torchSeconds),
      seconds(one.ourSeconds),
      one.ratio.toFixed(2),
      one.cpuRatio.toFixed(2),
      one.floor?.toFixed(2) ?? "",
      one.stretch?.toFixed(2) ?? "",
      gigabytes(one.torchPeak),
      gigabytes(one.ourPeak),
      (one.ourPeak / one.torchPeak).toFixed(2),
    ]),
  );
  const [cpu] = cpus();
  return [
    "# Compute benchmark",
    `PyTorch and open_clip against the \`tensorflow\` backend, back to back: ${cpu?.model.trim() ?? "unknown CPU"}, ` +
      `${cpus().length} cores, float32, medians of ${options.rounds} neighbouring measurements. Ratios are torch's time over ours: ` +
      `above 1 we are faster. Captions have the lengths of real ones (\`bench/compute/pairs.ts\`).`,
    table,
  ].join("\n\n");
}

function seconds(value: number): string {
  return value < 1 ? `${(value * 1e3).toFixed(0)} ms` : `${value.toFixed(2)} s`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
