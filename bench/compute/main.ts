import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { markdownTable, median, writeSection } from "../results.ts";
import { measureAlone, ownMeasurements } from "./findings.ts";
import type { Finding } from "./findings.ts";
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
  /** Our peak over torch's, and what it may be at most. */
  readonly memoryRatio: number;
  readonly memory: number | null;
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
const chosenOf = <T extends { readonly name: string }>(all: readonly T[]): readonly T[] =>
  options.only === undefined ? all : all.filter(({ name }) => name === options.only);
const [chosenPairs, chosenOwn] = [chosenOf(pairs), chosenOf(ownMeasurements)];
if (chosenPairs.length + chosenOwn.length === 0) {
  const names = [...pairs, ...ownMeasurements].map(({ name }) => name);
  console.error(`there is no measurement ${options.only}; there are ${names.join(", ")}`);
  process.exit(2);
}
const results: Comparison[] = [];
const findings: (Finding & { readonly name: string; readonly title: string })[] = [];
const say = (result: object, line: string): void => console.log(options.json ? JSON.stringify(result) : line);
if (chosenPairs.length > 0) {
  const environment = pythonEnvironment(options.python);
  try {
    for (const pair of chosenPairs) {
      const result = await compare(pair, environment.python, Number(options.rounds));
      results.push(result);
      say(result, lineOf(result));
    }
  } finally {
    environment.remove();
  }
}
for (const own of chosenOwn) {
  const { name, title } = own;
  const finding = { name, title, ...(await measureAlone(own)) };
  findings.push(finding);
  say(finding, `${name}: ${finding.found} (wanted: ${finding.wanted})`);
}
if (options.only === undefined) writeSection(report(results, findings));

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
  const [torchPeak, ourPeak] = [await torch.close(), await ours.close()];
  return {
    name: pair.name,
    title: pair.title,
    floor: pair.floor ?? null,
    stretch: pair.stretch ?? null,
    ratio: each((one) => one.torch.wall / one.ours.wall),
    cpuRatio: each((one) => one.torch.cpu / one.ours.cpu),
    torchSeconds: each((one) => one.torch.wall) / pair.repeats,
    ourSeconds: each((one) => one.ours.wall) / pair.repeats,
    torchPeak,
    ourPeak,
    memoryRatio: ourPeak / torchPeak,
    memory: pair.memory ?? null,
  };
}

function lineOf({ name, ratio, cpuRatio, torchSeconds, ourSeconds, ...memory }: Comparison): string {
  return (
    `${name}: torch ${seconds(torchSeconds)}, ours ${seconds(ourSeconds)}, ratio ${ratio.toFixed(2)} ` +
    `(of CPU time ${cpuRatio.toFixed(2)}), peak memory ${gigabytes(memory.torchPeak)} and ${gigabytes(memory.ourPeak)}, ratio ${memory.memoryRatio.toFixed(2)}`
  );
}

function report(results: readonly Comparison[], own: typeof findings): string {
  const table = markdownTable(
    [
      "work",
      "torch",
      "ours",
      "ratio",
      "of CPU time",
      "floor",
      "stretch",
      "memory: torch",
      "ours",
      "ratio",
      "at most",
    ],
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
      one.memoryRatio.toFixed(2),
      one.memory?.toFixed(2) ?? "",
    ]),
  );
  const ownTable = markdownTable(
    ["measured alone", "wanted", "found", "holds"],
    own.map(({ title, wanted, found, holds }) => [title, wanted, found, holds ? "yes" : "no"]),
  );
  const [cpu] = cpus();
  return [
    "# Compute benchmark",
    `PyTorch and open_clip against the \`tensorflow\` backend, back to back: ${cpu?.model.trim() ?? "unknown CPU"}, ` +
      `${cpus().length} cores, float32, medians of ${options.rounds} neighbouring measurements. Ratios are torch's time over ours: ` +
      `above 1 we are faster. Captions have the lengths of real ones (\`bench/compute/pairs.ts\`).`,
    table,
    "Peak memory is that of the whole process, with its model and libraries.",
    ownTable,
  ].join("\n\n");
}

function seconds(value: number): string {
  return value < 1 ? `${(value * 1e3).toFixed(0)} ms` : `${value.toFixed(2)} s`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
